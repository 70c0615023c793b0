//! Settings in environment variables: `WATERTABLE_LOG_RETENTION_MS` is `log.retention.ms`.

use super::origin::{Given, Origin};

const PREFIX: &str = "WATERTABLE_";

/// Variables that are no settings of the broker: the flags of other commands, and where the settings file is.
const NOT_SETTINGS: &[&str] = &["WATERTABLE_CONFIG", "WATERTABLE_BROKERS"];

/// The settings among `variables`.
pub(super) fn settings(variables: impl Iterator<Item = (String, String)>) -> Vec<Given> {
    let mut settings: Vec<_> = variables
        .filter(|(variable, _)| !NOT_SETTINGS.contains(&variable.as_str()))
        .filter_map(|(variable, text)| {
            let key = key(variable.strip_prefix(PREFIX)?);
            let origin = Origin::Environment(variable);
            Some(Given { key, text, origin })
        })
        .collect();
    // Environments have no order; errors should not depend on one.
    settings.sort_by(|one, other| one.key.cmp(&other.key));
    settings
}

/// No setting of Kafka has an underscore, so every one stands for a dot.
fn key(rest: &str) -> String {
    match rest {
        "LOG" => "log.filter".to_owned(),
        _ => rest.to_ascii_lowercase().replace('_', "."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_are_dots_and_foreign_variables_are_left_alone() {
        let variables = [
            ("PATH", "/bin"),
            ("WATERTABLE_LOG_RETENTION_MS", "5"),
            ("WATERTABLE_CONFIG", "x.toml"),
            ("WATERTABLE_BROKERS", "h:1"),
            ("WATERTABLE_LOG", "debug"),
            ("KAFKA_NUM_PARTITIONS", "3"),
        ];
        let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let found = settings(variables.into_iter());
        let found: Vec<_> = found
            .iter()
            .map(|given| (given.key.as_str(), given.text.as_str()))
            .collect();
        assert_eq!(found, [("log.filter", "debug"), ("log.retention.ms", "5")]);
    }
}
