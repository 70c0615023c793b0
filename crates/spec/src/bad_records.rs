//! [`BadRecords`]: where records go that cannot be read, cast or passed on, and how many of them stop a pipeline.

use std::fmt;
use std::str::FromStr;

use crate::names::WRITTEN_TOPIC;
use crate::problem::Cause;
use crate::shape::{Object, OneOf, Rule, Shape, Word, key, word};
use crate::surroundings::escape;
use crate::units::{Share, Span};
use crate::value::{Value, Written};
use crate::view::View;

/// What becomes of bad records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadRecords {
    /// The topic they go to, if it is not that of the pipeline's name.
    pub topic: Option<String>,
    /// How many stop the pipeline; none do without it.
    pub halt_above: Option<HaltAbove>,
}

/// The share of bad records above which a pipeline stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HaltAbove {
    /// The share.
    pub share: Share,
    /// Of the records of which time.
    pub over: Over,
}

/// The records of which time are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Those of the run.
    Run,
    /// Those of the last so much time.
    Last(Span),
}

const FORM: &str = "a share of the records of a time, as 5% over run or 2% over 5m";
static HALT_ABOVE: Rule = Rule::new(FORM, r"^[0-9.]+% over [a-z0-9]+$", |text| {
    text.parse::<HaltAbove>().map(drop)
});

impl FromStr for HaltAbove {
    type Err = Cause;

    fn from_str(text: &str) -> Result<Self, Cause> {
        let unfit = || Cause::Unfit {
            found: text.chars().take(60).collect(),
            rule: FORM,
        };
        let (share, over) = text.split_once(" over ").ok_or_else(unfit)?;
        let share = Share::read(share).ok_or_else(unfit)?;
        let over = match over {
            "run" => Over::Run,
            time => Over::Last(time.parse()?),
        };
        if over == Over::Last(Span::from_ms(0)) {
            return Err(unfit());
        }
        Ok(Self { share, over })
    }
}

impl fmt::Display for HaltAbove {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.over {
            Over::Run => write!(formatter, "{} over run", self.share),
            Over::Last(time) => write!(formatter, "{} over {time}", self.share),
        }
    }
}

static TO: [Word; 1] = [word(
    "dead_letter",
    "They go to a topic, each with its reason and place.",
)];
pub(crate) static BAD_RECORDS: Object = Object {
    what: "what becomes of bad records",
    keys: &[
        key("to", Shape::Words(&TO), "Where they go.").default("dead_letter"),
        key(
            "topic",
            Shape::Text(&WRITTEN_TOPIC),
            "The topic they go to.",
        )
        .default("the pipeline's name with `.dead` behind it"),
        key(
            "halt_above",
            Shape::Text(&HALT_ABOVE),
            "The share of bad records above which the pipeline stops before it commits.",
        ),
    ],
    one_of: OneOf::None,
};

pub(crate) fn read(view: &View<'_>) -> BadRecords {
    BadRecords {
        topic: view.owned("topic"),
        halt_above: view.text("halt_above").and_then(|text| text.parse().ok()),
    }
}

pub(crate) fn write(bad: &BadRecords) -> Option<Value> {
    let topic = bad.topic.as_ref().map(|topic| Value::Text(escape(topic)));
    let halt_above = bad.halt_above.map(|halt| Value::text(halt.to_string()));
    let written = Written::default()
        .maybe("topic", topic)
        .maybe("halt_above", halt_above);
    (!written.is_empty()).then(|| written.done())
}
