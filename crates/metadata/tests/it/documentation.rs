//! `docs/settings.md` is written from the tables; this keeps it so.

use std::fmt::Write;
use std::path::Path;

use metadata::settings::{
    Effect, GROUP_SETTINGS, Setting, TOPIC_SETTINGS, Update, broker_settings,
};

const HEAD: &str = "\
# Settings

Written from the tables in `crates/metadata/src/settings`; after a change there run
`UPDATE_DOCS=1 cargo test -p metadata documentation`.

Names, types, defaults and ranges are those of Apache Kafka 4.2.1, except where a default says *ours*.

Broker settings come from flags (`--set KEY=VALUE` and the named ones of `watertable start`), over environment variables
(`WATERTABLE_LOG_RETENTION_MS` is `log.retention.ms`), over the TOML file given as `--config`, over the defaults here.
What was altered while the broker ran (dynamic settings) is stronger than all of them. An unknown name is an error. A
name that begins with `listener.name.<listener>.` sets a `ssl.`, `sasl.` or connection setting for one listener.

Beside Kafka's names the broker knows `listen`, `advertise` and `data.dir` (short for `listeners`,
`advertised.listeners`, `log.dirs`), `http.listen` (address, or `off`), `log.format` (`text`, `json`), `log.filter`
(also `WATERTABLE_LOG`), and those of SQL: `sql.listen` (address, or `off`; default `127.0.0.1:9432`),
`sql.memory.max.bytes` (what all queries together may hold; default 536870912), `sql.spill.max.bytes` (what they may write
to the folder `spill` of the data directory; default 17179869184), `sql.max.connections` (default 100), `sql.priority` (what queries
take of processors that producing and consuming want too: `idle`, next to nothing, the default, or `low`, about a tenth), `sql.export.dir`
(the folder that `COPY … TO 'file'` writes to, apart from the data directory; without it SQL writes no files),
`sql.export.s3.prefixes` (what `COPY … TO 's3://…'` may write: a list of `s3://bucket` and `s3://bucket/folder`; without it
SQL writes no objects), `sql.export.s3.endpoint` (the store's URL, if it is not AWS; `http://` is without TLS) and
`sql.export.s3.region`. Of pipelines: `pipeline.workers` (threads that run them; default 2, with 0 this process runs none),
`pipeline.memory.max.bytes` (what their queries together may hold; default 268435456), `pipeline.priority` (what they take of processors that producing and
consuming want too: `low`, about a tenth, the default, or `idle`, next to nothing), `pipeline.yield.max.bytes.per.second` (how many bytes
of rows all of them read and write together while other clients produce; default 8388608, with 0 any) and `pipeline.secrets.dir` (a folder with a file
for each secret; without it secrets come from the environment alone).

**Effect**: *yes*: the broker behaves as it says. *kept*: accepted and shown, there is nothing here it could change.
*several brokers*: kept, and honoured once a cluster has more than one. *later*: kept, what it governs is not there yet; the
log says so when it is set. *default only*: any other value is refused.
**Changes**: *at start*; *per broker*: also while it runs, for one broker; *cluster*: also while it runs, for one or all.
";

/// Defaults that differ from Kafka's.
const OURS: &[&str] = &[
    "listeners",
    "log.dirs",
    "node.id",
    "queued.max.request.bytes",
    "write.caching",
    "watertable.contract",
];

fn effect(setting: &Setting) -> &'static str {
    match setting.effect {
        Effect::Honoured => "yes",
        Effect::Accepted => "kept",
        Effect::Cluster => "several brokers",
        Effect::Later => "later",
        Effect::DefaultOnly => "default only",
    }
}

fn default(setting: &Setting) -> String {
    let ours = if OURS.contains(&setting.name) {
        " (*ours*)"
    } else {
        ""
    };
    match setting.default {
        None => format!("–{ours}"),
        Some("") => "empty".to_owned(),
        Some(default) => format!("`{default}`{ours}"),
    }
}

fn kind(setting: &Setting) -> String {
    let kind = format!("{:?}", setting.kind).to_lowercase();
    match setting.allowed {
        metadata::settings::Allowed::Any => kind,
        allowed => format!("{kind}, {allowed}"),
    }
}

fn above<'a>(page: &mut String, title: &str, settings: impl Iterator<Item = &'a Setting>) {
    write!(page, "\n## {title}\n\n").unwrap();
    page.push_str("| Name | What it does | Type | Default | Falls back to | Effect |\n|---|---|---|---|---|---|\n");
    for setting in settings {
        let synonyms: Vec<_> = setting
            .synonyms
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} |",
            setting.name,
            setting.doc,
            kind(setting),
            default(setting),
            synonyms.join(", "),
            effect(setting),
        )
        .unwrap();
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    above(&mut page, "Topics", TOPIC_SETTINGS.iter());
    above(&mut page, "Groups", GROUP_SETTINGS.iter());
    page.push_str("\n## Brokers\n\n");
    page.push_str(
        "| Name | What it does | Type | Default | Changes | Effect |\n|---|---|---|---|---|---|\n",
    );
    let mut settings: Vec<_> = broker_settings().collect();
    settings.sort_by_key(|setting| setting.name);
    for setting in settings {
        let update = match setting.update {
            Update::ReadOnly => "at start",
            Update::PerBroker => "per broker",
            Update::ClusterWide => "cluster",
        };
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {update} | {} |",
            setting.name,
            setting.doc,
            kind(setting),
            default(setting),
            effect(setting),
        )
        .unwrap();
    }
    page
}

#[test]
fn the_page_of_settings_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/settings.md is not current: run UPDATE_DOCS=1 cargo test -p metadata documentation"
    );
}
