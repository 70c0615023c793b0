//! The settings file: TOML with Kafka's names, as quoted keys, bare dotted keys or tables.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use metadata::settings::Scope;
use toml::{Table, Value};

use super::origin::{Given, Origin};

/// Largest settings file; all of Kafka's settings with comments take a tenth.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a settings file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("cannot read the settings file {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is longer than any settings file.
    #[error("the settings file {} is longer than {FILE_BYTES_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    /// It is Kafka's `server.properties`, or in its form.
    #[error("{} is a Java properties file, settings here are TOML: put names and texts in quotes, so that {line} becomes {translated}", .path.display())]
    Properties {
        /// The file.
        path: PathBuf,
        /// A line of it.
        line: String,
        /// The line as TOML.
        translated: String,
    },
    /// It is no TOML.
    #[error("{} is not valid TOML (a name that another name begins with needs quotes, as in \"max.connections\" = 100)", .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
    /// A value that no setting has.
    #[error("{key} in {} is {found}; settings are texts, numbers, true, false, or lists of them", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: String,
        /// What it is.
        found: &'static str,
    },
    /// Quoted and bare, or as a table too.
    #[error("{key} is set twice in {}", .path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: String,
    },
}

/// The settings in the file.
pub(super) fn settings(path: &Path) -> Result<Vec<Given>, FileError> {
    parse(path, &read(path)?)
}

/// The settings in the text of the file at `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Given>, FileError> {
    if path
        .extension()
        .is_some_and(|extension| extension == "properties")
    {
        return Err(properties(path, text));
    }
    let table: Table = text.parse().map_err(|source| {
        if first_property(text).is_some() {
            return properties(path, text);
        }
        FileError::Toml {
            path: path.to_owned(),
            source: Box::new(source),
        }
    })?;
    let mut settings = Vec::new();
    flatten(path, "", table, &mut settings)?;
    settings.sort_by(|one, other| one.key.cmp(&other.key));
    match settings.windows(2).find(|pair| pair[0].key == pair[1].key) {
        Some(pair) => Err(FileError::Twice {
            path: path.to_owned(),
            key: pair[0].key.clone(),
        }),
        None => Ok(settings),
    }
}

fn read(path: &Path) -> Result<String, FileError> {
    let error = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(error)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(error)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLong(path.to_owned()));
    }
    Ok(text)
}

fn flatten(
    path: &Path,
    prefix: &str,
    table: Table,
    settings: &mut Vec<Given>,
) -> Result<(), FileError> {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        let text = match value {
            Value::Table(table) => {
                flatten(path, &key, table, settings)?;
                continue;
            }
            Value::Array(items) => {
                let items: Result<Vec<_>, _> = items
                    .into_iter()
                    .map(|item| scalar(path, &key, item))
                    .collect();
                items?.join(",")
            }
            value => scalar(path, &key, value)?,
        };
        settings.push(Given {
            key,
            text,
            origin: Origin::File(path.to_owned()),
        });
    }
    Ok(())
}

fn scalar(path: &Path, key: &str, value: Value) -> Result<String, FileError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(value) => Ok(value.to_string()),
        other => Err(FileError::Kind {
            path: path.to_owned(),
            key: key.to_owned(),
            found: other.type_str(),
        }),
    }
}

/// The first line in the form of Java properties whose name a broker knows.
fn first_property(text: &str) -> Option<(&str, &str)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', '!']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, value)| {
            let is_bare_text =
                value.parse::<f64>().is_err() && !value.starts_with(['"', '\'', '[']);
            is_bare_text && Scope::Broker.get(key).is_ok()
        })
}

fn properties(path: &Path, text: &str) -> FileError {
    let (key, value) = first_property(text).unwrap_or(("listeners", "PLAINTEXT://127.0.0.1:9092"));
    FileError::Properties {
        path: path.to_owned(),
        line: format!("{key}={value}"),
        translated: format!("{key:?} = {value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, text: &str) -> Result<Vec<(String, String)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        match settings(&path) {
            Ok(settings) => Ok(settings
                .into_iter()
                .map(|given| (given.key, given.text))
                .collect()),
            Err(error) => Err(error.to_string().replace(&path.display().to_string(), name)),
        }
    }

    #[test]
    fn quoted_keys_bare_keys_and_tables_mean_the_same() {
        for text in [
            "\"log.retention.ms\" = 5\n\"log.dirs\" = \"d\"",
            "log.retention.ms = 5\nlog.dirs = \"d\"",
            "[log]\nretention.ms = 5\ndirs = [\"d\"]",
            "[log.retention]\nms = \"5\"\n[log]\ndirs = \"d\"",
        ] {
            let expected = [("log.dirs", "d"), ("log.retention.ms", "5")];
            let expected = expected.map(|(key, text)| (key.to_owned(), text.to_owned()));
            assert_eq!(parsed("s.toml", text), Ok(expected.to_vec()), "{text}");
        }
    }

    #[test]
    fn values_become_the_texts_kafka_would_read() {
        let text = "\"a\" = true\n\"b\" = 0.5\n\"c\" = [\"x\", 2]\n\"d\" = -1";
        let found = parsed("s.toml", text).unwrap();
        let found: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(found, ["true", "0.5", "x,2", "-1"]);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        for (name, text, expected) in [
            (
                "server.properties",
                "# Kafka\nnum.partitions=3\nlog.dirs=/tmp/kafka-logs\n",
                "server.properties is a Java properties file, settings here are TOML: put names and texts in quotes, \
                 so that log.dirs=/tmp/kafka-logs becomes \"log.dirs\" = \"/tmp/kafka-logs\"",
            ),
            (
                "server.conf",
                "listeners=PLAINTEXT://:9092\n",
                "server.conf is a Java properties file, settings here are TOML: put names and texts in quotes, \
                 so that listeners=PLAINTEXT://:9092 becomes \"listeners\" = \"PLAINTEXT://:9092\"",
            ),
            (
                "s.toml",
                "\"num.partitions\" = 1979-05-27",
                "num.partitions in s.toml is datetime; settings are texts, numbers, true, false, or lists of them",
            ),
            (
                "s.toml",
                "\"log.dirs\" = [[\"d\"]]",
                "log.dirs in s.toml is array; settings are texts, numbers, true, false, or lists of them",
            ),
            (
                "s.toml",
                "\"log.dirs\" = \"d\"\nlog.dirs = \"e\"",
                "log.dirs is set twice in s.toml",
            ),
            (
                "s.toml",
                "max.connections = 1\nmax.connections.per.ip = 2",
                "s.toml is not valid TOML (a name that another name begins with needs quotes, as in \"max.connections\" = 100)",
            ),
        ] {
            assert_eq!(parsed(name, text), Err(expected.to_owned()));
        }
        let long = format!("a = \"{}\"", "x".repeat(1024 * 1024));
        assert!(parsed("s.toml", &long).unwrap_err().contains("longer than"));
        let missing = settings(Path::new("/nonexistent/settings.toml")).unwrap_err();
        assert!(matches!(missing, FileError::Read { .. }));
    }
}
