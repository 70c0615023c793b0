//! How a plan is printed for people.

use std::fmt::{self, Display, Formatter, Write};

use super::{ChangeKind, PipelinePlan, Plan, Reader};
use crate::control::record::Class;

/// Under the line of a pipeline.
const INDENT: &str = "      ";

impl PipelinePlan {
    fn mark(&self) -> char {
        match self.change {
            ChangeKind::New => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Checks => '!',
            ChangeKind::Removed => '-',
        }
    }

    /// `v3 → v4`
    fn versions(&self) -> String {
        match (self.from_version, self.change) {
            (Some(from), ChangeKind::Removed) => format!("v{from}"),
            (Some(from), _) => format!("v{from} → v{}", self.record.version),
            (None, _) => format!("v{}", self.record.version),
        }
    }

    /// What kind of change it is, and what that means.
    fn head(&self) -> String {
        let (kind, means) = match (self.change, self.class) {
            (ChangeKind::Removed, _) => ("REMOVED", ""),
            (_, Some(Class::New)) => ("NEW", ""),
            (_, Some(Class::Metadata)) => ("METADATA", "in force from the next batch"),
            (_, Some(Class::SourceChange)) => ("SOURCE CHANGE", ""),
            (ChangeKind::New, _) => ("NEW", ""),
            (_, Some(Class::HandOver)) => (
                "HAND-OVER (stateless)",
                "no re-reading; pause about one batch",
            ),
            (_, None) => ("", ""),
        };
        let says = self.says.join(", ");
        let parts = [says.as_str(), means];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}: {}", parts.join("; "))
        }
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut details = Vec::new();
        for begins in &self.begins {
            details.push(("reads", begins.clone()));
        }
        for topic in &self.topics {
            let does = if topic.create.is_some() { "+" } else { "~" };
            let text = format!("{does} {} ({})", topic.name, topic.says);
            details.push(("topic", text));
        }
        if !self.output.is_empty() {
            let compatible = if self.breaks_readers {
                "readers that use it may fail"
            } else {
                "compatible with its readers"
            };
            let text = format!("{} ({compatible})", self.output.join(", "));
            details.push(("output", text));
        }
        for outside in &self.outside {
            details.push(("outside", outside.clone()));
        }
        if !self.readers.is_empty() {
            let readers: Vec<_> = self.readers.iter().map(ToString::to_string).collect();
            details.push(("readers", readers.join(", ")));
        }
        if let Some(test) = &self.back_test {
            details.push(("test", test.to_string()));
        }
        details
    }
}

impl Display for super::BackTest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            records,
            dead_before,
            dead_after,
        } = *self;
        write!(
            formatter,
            "of the last {} records it would have sent {} to the dead letters, now {}",
            grouped(records),
            grouped(dead_after),
            grouped(dead_before)
        )
    }
}

impl Display for Reader {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipeline(name) => write!(formatter, "{name} (pipeline)"),
            Self::Group(name) => write!(formatter, "group {name} (outside)"),
        }
    }
}

impl Display for Plan {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&PipelinePlan) -> String| {
            let lengths = self.pipelines.iter().map(|plan| of(plan).chars().count());
            lengths.max().unwrap_or_default()
        };
        let names = width(|plan| plan.pipeline.clone());
        let versions = width(PipelinePlan::versions);
        for plan in &self.pipelines {
            writeln!(
                formatter,
                "  {} {:names$}  {:versions$}  {}",
                plan.mark(),
                plan.pipeline,
                plan.versions(),
                plan.head()
            )?;
            for (what, text) in plan.details() {
                writeln!(formatter, "{INDENT}{what:8}{text}")?;
            }
        }
        for name in &self.without_file {
            writeln!(
                formatter,
                "  ? {name:names$}  runs and has no file; it stays as it is, --remove stops it"
            )?;
        }
        formatter.write_str(&self.summary())
    }
}

impl Plan {
    /// How many pipelines change, and from what.
    fn summary(&self) -> String {
        let count = |kind: ChangeKind| {
            let plans = self.pipelines.iter();
            plans.filter(|plan| plan.change == kind).count()
        };
        let base = self.base.get(..8).unwrap_or(&self.base);
        let environment = &self.environment;
        if self.is_empty() {
            return format!(
                "Plan: nothing changes; {environment} runs what the files say.  base {base}"
            );
        }
        let checks = count(ChangeKind::Checks);
        let s = if checks == 1 { "" } else { "s" };
        let mut text = String::from("Plan: ");
        let written = write!(
            text,
            "{} new, {} changed, {checks} with other check{s}, {} removed, {} unchanged.  base {base}",
            count(ChangeKind::New),
            count(ChangeKind::Changed),
            count(ChangeKind::Removed),
            self.unchanged.len()
        );
        debug_assert!(written.is_ok(), "texts can be written to");
        text
    }
}

/// `1,204,331`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_grouped() {
        let grouped = [0, 999, 1000, 1_204_331].map(super::grouped);
        assert_eq!(grouped, ["0", "999", "1,000", "1,204,331"]);
    }
}
