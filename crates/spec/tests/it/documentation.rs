//! `docs/pipelines/format.md` is written from the tables; this keeps it so.

use std::fmt::Write;

use spec::shape::{Need, Object, Shape};

use super::folder;

const HEAD: &str = include_str!("format_head.md");

fn kind(shape: &Shape) -> String {
    match shape {
        Shape::Text(rule) => rule.what.to_owned(),
        Shape::Sql => "SQL, or `!file NAME`".to_owned(),
        Shape::Words(words) => {
            let run = words.iter().filter(|word| word.later.is_none());
            let each: Vec<_> = run
                .map(|word| format!("`{}`: {}", word.name, word.doc))
                .collect();
            each.join(" ")
        }
        Shape::Whole(least, most) if least == most => format!("{least}"),
        Shape::Whole(least, most) => format!("a whole number, {least} to {most}"),
        Shape::Flag => "`true` or `false`".to_owned(),
        Shape::Literal => "a number, a text, `true` or `false`".to_owned(),
        Shape::Any => "anything".to_owned(),
        Shape::List(of) | Shape::Rows(of) => format!("a list: {}", kind(of)),
        Shape::OneOrMany(of) => format!("{}; or a list", kind(of)),
        Shape::Object(object) => format!("[{}](#{})", object.what, anchor(object)),
        Shape::Named(rule, of) | Shape::Row(rule, of) => {
            let name = rule.what.split([':', ';']).next().unwrap_or_default();
            format!("a map, for {name} {}", kind(of))
        }
        Shape::Either(shapes) => shapes.iter().map(kind).collect::<Vec<_>>().join("; or "),
    }
}

fn anchor(object: &Object) -> String {
    object.what.replace(' ', "-").to_lowercase()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn section(page: &mut String, object: &Object) {
    let mut title = object.what.to_owned();
    title[..1].make_ascii_uppercase();
    write!(page, "\n### {title}\n\n").unwrap();
    page.push_str("| Key | What it means | What stands there | Without it |\n|---|---|---|---|\n");
    for key in object.keys.iter().filter(|key| key.later.is_none()) {
        let without = match key.need {
            Need::Required(_) => "*required*".to_owned(),
            Need::Optional("") => "–".to_owned(),
            Need::Optional(default) => default.to_owned(),
        };
        let aliases: String = key
            .aliases
            .iter()
            .map(|alias| format!(", `{alias}`"))
            .collect();
        writeln!(
            page,
            "| `{}`{aliases} | {} | {} | {} |",
            key.name,
            cell(key.doc),
            cell(&kind(&key.shape)),
            cell(&without)
        )
        .unwrap();
    }
    let choices = object.choices();
    if choices.len() == object.keys.len() || object.what == "a check" {
        page.push_str("\nExactly one of them.\n");
    } else if !choices.is_empty() {
        writeln!(
            page,
            "\nExactly one of {}.",
            choices
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        )
        .unwrap();
    }
}

fn not_yet(page: &mut String, objects: &[&Object]) {
    page.push_str("\n## What is not there yet\n\nEach is refused by its name, with what to do until then; nothing is ignored.\n\n");
    page.push_str("| Where | What | It will be | Until then |\n|---|---|---|---|\n");
    for object in objects {
        for key in object.keys {
            if let Some(instead) = key.later {
                writeln!(
                    page,
                    "| {} | `{}` | {} | {} |",
                    object.what,
                    key.name,
                    cell(key.doc),
                    cell(instead)
                )
                .unwrap();
            }
            for word in words(&key.shape) {
                if let Some(instead) = word.later {
                    writeln!(
                        page,
                        "| {} | `{}: {}` | {} | {} |",
                        object.what,
                        key.name,
                        word.name,
                        cell(word.doc),
                        cell(instead)
                    )
                    .unwrap();
                }
            }
        }
    }
}

fn words(shape: &Shape) -> &'static [spec::shape::Word] {
    match shape {
        Shape::Words(words) => words,
        _ => &[],
    }
}

fn page() -> String {
    let mut objects = Vec::new();
    spec::shape::objects(&mut |object| objects.push(object));
    let mut page = HEAD.to_owned();
    page.push_str("\n## All keys\n");
    objects.iter().for_each(|object| section(&mut page, object));
    not_yet(&mut page, &objects);
    page
}

#[test]
fn the_page_of_the_format_is_current() {
    let path = folder("../../../docs/pipelines/format.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/pipelines/format.md is not current: run UPDATE_DOCS=1 cargo test -p spec"
    );
}

/// The example of the page is a file.
#[test]
fn the_example_of_the_page_is_right() {
    let (_, rest) = HEAD.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let read = super::read("example.yaml", example.as_bytes());
    assert!(read.is_ok(), "{}", super::lines(&read.unwrap_err()));
}
