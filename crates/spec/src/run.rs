//! [`Run`]: when a pipeline runs, and what happens when it fails.

use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::CronParser;

use crate::problem::{Cause, Problems};
use crate::shape::{Key, Object, OneOf, Rule, Shape, Word, key, later, word};
use crate::tree::Node;
use crate::units::{SPAN, SPAN_POSITIVE, Span};
use crate::value::{Value, Written};
use crate::view::{View, text_of};

/// When a pipeline runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What starts it.
    pub trigger: Trigger,
    /// The longest that one run takes; no limit if it is not there.
    pub timeout: Option<Span>,
    /// What happens when it fails.
    pub retry: Retry,
}

/// What starts a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// It runs all the time.
    Continuous,
    /// It runs once, up to what is there when it starts.
    Once,
    /// Again and again.
    Scheduled(Schedule),
}

/// When a run is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// At which times.
    pub times: Times,
    /// Up to how much later, at random, so that not all start at once.
    pub jitter: Span,
    /// Which of the runs that were missed are made up for.
    pub catchup: Catchup,
}

/// At which times a run is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Times {
    /// Each time so much has gone by.
    Every(Span),
    /// By a pattern of cron in a time zone.
    Cron {
        /// The pattern.
        pattern: String,
        /// The time zone.
        timezone: Tz,
    },
}

/// Which missed runs are made up for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Catchup {
    /// None.
    None,
    /// The latest.
    #[default]
    Latest,
    /// All, in their order.
    All,
}

/// What happens when a run fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often it is tried again.
    pub times: u64,
    /// How long it waits in between.
    pub backoff: Backoff,
}

/// How long to wait: twice as long each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first time.
    pub first: Span,
    /// At most.
    pub most: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            times: 3,
            backoff: Backoff::default(),
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Span::from_ms(1000),
            most: Span::from_ms(300_000),
        }
    }
}

const BACKOFF_FORM: &str = "a wait, from the first to the longest, as 10s..5m";
static BACKOFF: Rule = Rule::new(BACKOFF_FORM, r"^[0-9]+[a-z]+\.\.[0-9]+[a-z]+$", |text| {
    text.parse::<Backoff>().map(drop)
});

impl FromStr for Backoff {
    type Err = Cause;

    fn from_str(text: &str) -> Result<Self, Cause> {
        let unfit = || Cause::Unfit {
            found: text.chars().take(60).collect(),
            rule: BACKOFF_FORM,
        };
        let (first, most) = text.split_once("..").ok_or_else(unfit)?;
        let (first, most) = (first.parse()?, most.parse()?);
        if first > most {
            return Err(unfit());
        }
        Ok(Self { first, most })
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}..{}", self.first, self.most)
    }
}

/// Longer patterns are none.
const CRON_BYTES_MAX: usize = 200;
static CRON: Rule = Rule::new(
    "a cron pattern: minute, hour, day, month and weekday, as \"0 3 * * *\"",
    "",
    |text| cron(text).map(drop),
);

/// A pattern of cron as it runs: with five fields, or with seconds in front.
///
/// # Errors
/// It is none.
pub fn cron(pattern: &str) -> Result<Cron, Cause> {
    let fault = |reason: String| Cause::Cron {
        found: pattern.chars().take(60).collect(),
        reason,
    };
    if pattern.len() > CRON_BYTES_MAX || !pattern.is_ascii() {
        let reason = format!("it is longer than {CRON_BYTES_MAX} or not of ASCII");
        return Err(fault(reason));
    }
    let parsed = CronParser::new().parse(pattern);
    parsed.map_err(|error| {
        let reason = match error {
            CronError::InvalidPattern(reason)
            | CronError::IllegalCharacters(reason)
            | CronError::ComponentError(reason) => reason,
            other => other.to_string(),
        };
        fault(reason.trim_end_matches('.').to_owned())
    })
}

const TIMEZONE_FORM: &str = "a time zone of the IANA, as Europe/Berlin or UTC";
static TIMEZONE: Rule = Rule::new(TIMEZONE_FORM, "", |text| {
    let found = || text.chars().take(60).collect();
    let rule = TIMEZONE_FORM;
    let parsed = text.parse::<Tz>();
    parsed.map(drop).map_err(|_unknown| Cause::Unfit {
        found: found(),
        rule,
    })
});

static WORDS: [Word; 2] = [
    word("continuous", "All the time."),
    word("once", "Once, up to what is there when it starts."),
];
static CATCHUP: [Word; 3] = [
    word("none", "None of the missed runs is made up for."),
    word("latest", "The latest of the missed runs is made up for."),
    word("all", "All missed runs are made up for, in their order."),
];
const CATCHUPS: [(&str, Catchup); 3] = [
    ("none", Catchup::None),
    ("latest", Catchup::Latest),
    ("all", Catchup::All),
];
static RETRY: Object = Object {
    what: "what happens when a run fails",
    keys: &[
        key(
            "times",
            Shape::Whole(0, 1000),
            "How often a run that failed is tried again.",
        )
        .default("3"),
        key(
            "backoff",
            Shape::Text(&BACKOFF),
            "How long it waits in between: twice as long each time, from the first to the longest.",
        )
        .default("1s..5m"),
    ],
    one_of: OneOf::None,
};
static RUN: Object = Object {
    what: "when a pipeline runs",
    keys: &[
        key(
            "continuous",
            Shape::Flag,
            "`true`: all the time. The same as `run: continuous`, with more keys beside it.",
        ),
        key(
            "once",
            Shape::Flag,
            "`true`: once. The same as `run: once`, with more keys beside it.",
        ),
        key(
            "every",
            Shape::Text(&SPAN_POSITIVE),
            "Each time so much has gone by.",
        ),
        key(
            "cron",
            Shape::Text(&CRON),
            "By a pattern of cron: minute, hour, day, month, weekday; seconds may stand in front.",
        ),
        key(
            "timezone",
            Shape::Text(&TIMEZONE),
            "The time zone of `cron`.",
        )
        .default("UTC"),
        key(
            "jitter",
            Shape::Text(&SPAN),
            "Up to how much later a run starts, at random.",
        )
        .default("0ms"),
        key(
            "catchup",
            Shape::Words(&CATCHUP),
            "Which of the runs that were missed are made up for.",
        )
        .default("latest"),
        key(
            "concurrency",
            Shape::Whole(1, 1),
            "How many runs go on at once.",
        )
        .default("1"),
        key(
            "timeout",
            Shape::Text(&SPAN_POSITIVE),
            "The longest that one run takes.",
        ),
        key(
            "retry",
            Shape::Object(&RETRY),
            "What happens when a run fails.",
        ),
        AFTER,
    ],
    one_of: OneOf::Of(&["continuous", "once", "every", "cron"]),
};
const AFTER: Key = later(
    "after",
    "starting when another pipeline has passed the same interval",
    "write every: or cron: until then",
);
pub(crate) static SHAPE: Shape = Shape::Either(&[Shape::Words(&WORDS), Shape::Object(&RUN)]);

/// What only a schedule has.
const OF_A_SCHEDULE: [&str; 3] = ["timezone", "jitter", "catchup"];

pub(crate) fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Run> {
    if let Some(word) = text_of(node) {
        let trigger = match word {
            "continuous" => Trigger::Continuous,
            _ => Trigger::Once,
        };
        return Some(Run {
            trigger,
            timeout: None,
            retry: Retry::default(),
        });
    }
    let view = View::at_path(node, &RUN, path.to_owned())?;
    let (chosen, _) = view.chosen()?;
    let trigger = match chosen {
        "continuous" | "once" => plain(&view, chosen, problems)?,
        _ => Trigger::Scheduled(schedule(&view, chosen, problems)?),
    };
    Some(Run {
        trigger,
        timeout: span(&view, "timeout"),
        retry: view
            .map("retry", &RETRY)
            .map_or_else(Retry::default, |view| retry(&view)),
    })
}

fn span(view: &View<'_>, key: &str) -> Option<Span> {
    view.text(key)?.parse().ok()
}

fn plain(view: &View<'_>, chosen: &str, problems: &mut Problems) -> Option<Trigger> {
    for key in OF_A_SCHEDULE.iter().filter(|key| view.has(key)) {
        let with = chosen.to_owned();
        let instead = "leave it out, or write every: or cron:";
        view.problem_of_key(key, Cause::Meaningless { with, instead }, problems);
    }
    if !view.flag(chosen)? {
        let with = "false".to_owned();
        let instead = "leave the key out and write when it runs";
        view.problem(chosen, Cause::Meaningless { with, instead }, problems);
        return None;
    }
    Some(match chosen {
        "continuous" => Trigger::Continuous,
        _ => Trigger::Once,
    })
}

fn schedule(view: &View<'_>, chosen: &str, problems: &mut Problems) -> Option<Schedule> {
    let times = if chosen == "every" {
        if view.has("timezone") {
            let with = "every".to_owned();
            let instead = "leave it out, or write cron:";
            view.problem_of_key("timezone", Cause::Meaningless { with, instead }, problems);
        }
        Times::Every(span(view, "every")?)
    } else {
        let timezone = view.text("timezone").and_then(|name| name.parse().ok());
        Times::Cron {
            pattern: view.owned("cron")?,
            timezone: timezone.unwrap_or(Tz::UTC),
        }
    };
    Some(Schedule {
        times,
        jitter: span(view, "jitter").unwrap_or(Span::from_ms(0)),
        catchup: view.word("catchup", &CATCHUPS).unwrap_or_default(),
    })
}

fn retry(view: &View<'_>) -> Retry {
    let default = Retry::default();
    let backoff = view.text("backoff").and_then(|text| text.parse().ok());
    Retry {
        times: view.whole("times").unwrap_or(default.times),
        backoff: backoff.unwrap_or(default.backoff),
    }
}

pub(crate) fn write(run: &Run) -> Value {
    let word = match &run.trigger {
        Trigger::Continuous => "continuous",
        Trigger::Once => "once",
        Trigger::Scheduled(_) => "",
    };
    let retry = Written::default()
        .number_unless("times", run.retry.times, Retry::default().times)
        .unless("backoff", run.retry.backoff, Backoff::default());
    let timeout = run.timeout.map(|timeout| Value::text(timeout.to_string()));
    if timeout.is_none() && retry.is_empty() && !word.is_empty() {
        return Value::text(word);
    }
    let mut written = Written::default();
    written = match &run.trigger {
        Trigger::Scheduled(schedule) => write_schedule(written, schedule),
        _ => written.with(word, Value::Boolean(true)),
    };
    let retry = (!retry.is_empty()).then(|| retry.done());
    written
        .maybe("timeout", timeout)
        .maybe("retry", retry)
        .done()
}

fn write_schedule(written: Written, schedule: &Schedule) -> Written {
    let catchup = |wanted: Catchup| {
        let found = CATCHUPS.iter().find(|(_, meaning)| *meaning == wanted);
        found.map_or("", |(name, _)| name)
    };
    let written = match &schedule.times {
        Times::Every(every) => written.with("every", Value::text(every.to_string())),
        Times::Cron { pattern, timezone } => {
            written
                .with("cron", Value::text(pattern))
                .unless("timezone", timezone.name(), "UTC")
        }
    };
    written
        .unless("jitter", schedule.jitter, Span::from_ms(0))
        .unless(
            "catchup",
            catchup(schedule.catchup),
            catchup(Catchup::default()),
        )
}
