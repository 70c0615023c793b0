//! [`Secrets`]: the values that names of secrets stand for.
//!
//! Invariant: a value is looked up when it is used and goes to nobody else: it is in no record, no log, no error and no `Debug`.

use std::fmt;
use std::path::PathBuf;

use spec::{Connection, SecretName};

/// What the environment variable of a secret begins with; the name follows in capital letters.
const PREFIX: &str = "WATERTABLE_SECRET_";
/// The longest value.
const BYTES_MAX: u64 = 64 << 10;

/// Where values are looked up: in the environment, and then in a folder with a file for each.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    folder: Option<PathBuf>,
}

/// There is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SecretError {
    name: SecretName,
    /// Why a file that is there cannot be read.
    fault: Option<String>,
    folder: Option<PathBuf>,
}

impl fmt::Display for SecretError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_str();
        if let Some(fault) = &self.fault {
            return write!(formatter, "cannot read the secret {name}: {fault}");
        }
        let variable = variable(name);
        write!(
            formatter,
            "there is no secret {name}: set {variable} in the environment of the process that runs pipelines, or write it into "
        )?;
        match &self.folder {
            Some(folder) => write!(formatter, "the file {}", folder.join(name).display()),
            None => formatter
                .write_str("a file of this name in the folder of secrets (pipeline.secrets.dir)"),
        }
    }
}

fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

impl Secrets {
    /// Looks into this folder too.
    pub const fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// How a database is reached: a text that may hold a password.
    ///
    /// # Errors
    /// There is no such secret.
    pub fn connection(&self, connection: &Connection) -> Result<String, SecretError> {
        match connection {
            Connection::Url(url) => Ok(url.clone()),
            Connection::Secret(name) => self.value(name),
        }
    }

    fn value(&self, name: &SecretName) -> Result<String, SecretError> {
        let missing = |fault: Option<String>| SecretError {
            name: name.clone(),
            fault,
            folder: self.folder.clone(),
        };
        if let Ok(value) = std::env::var(variable(name.as_str())) {
            return Ok(value);
        }
        let Some(folder) = &self.folder else {
            return Err(missing(None));
        };
        let path = folder.join(name.as_str());
        let length = match std::fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(missing(None));
            }
            Err(error) => return Err(missing(Some(error.to_string()))),
        };
        if length > BYTES_MAX {
            return Err(missing(Some(format!(
                "{length} bytes are more than {BYTES_MAX}"
            ))));
        }
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| missing(Some(error.to_string())))?;
        // Editors end files with a line end.
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(text: &str) -> Connection {
        let text = format!(
            "format: 1\npipeline: a\nrun: continuous\nfrom: {{ a: {{ topic: {{ name: a }} }} }}\nsql: SELECT 1 AS a FROM a\nto: {{ postgres: {{ connection: \"{text}\", table: a, mode: append }} }}\n"
        );
        let file = spec::File::read("a", text.as_bytes(), &spec::Surroundings::NONE).unwrap();
        match file.pipeline.sink {
            spec::Sink::Postgres(sink) => sink.connection,
            spec::Sink::Topic(_) => panic!("a topic"),
        }
    }

    #[test]
    fn a_secret_is_the_text_of_its_file_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pg_app"), "postgres://a:b@c/d\n").unwrap();
        let secrets = Secrets::new(Some(folder.path().to_owned()));
        let found = secrets.connection(&connection("secret:pg_app"));
        assert_eq!(found.as_deref(), Ok("postgres://a:b@c/d"));
        let url = secrets.connection(&connection("postgres://a@c/d"));
        assert_eq!(url.as_deref(), Ok("postgres://a@c/d"));
        let missing = secrets.connection(&connection("secret:other")).unwrap_err();
        let missing = missing.to_string();
        assert!(
            missing.contains("WATERTABLE_SECRET_OTHER") && missing.contains("/other"),
            "{missing}"
        );
        let nowhere = Secrets::default().connection(&connection("secret:other"));
        assert!(
            nowhere
                .unwrap_err()
                .to_string()
                .contains("pipeline.secrets.dir")
        );
    }
}
