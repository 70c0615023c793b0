//! [`Surroundings`]: what a file refers to and does not have in it: variables, and files with SQL.
//!
//! Both are asked for through functions, so that reading a file touches nothing else. Secrets are not asked for at all: a file has
//! their names, and so has everything that is made of it.

use std::fmt;

use crate::problem::Cause;
use crate::tree::FILE_BYTES_MAX;

/// The longest text after its variables were replaced, and the longest value of one.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// What a file refers to.
pub struct Surroundings<'a> {
    /// The value of a variable, `${NAME}`.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file, by the name of the pipeline file and its own relative to the folder of that; or why there is none.
    pub file: &'a dyn Fn(&str, &str) -> Result<String, String>,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Surroundings")
    }
}

impl Surroundings<'static> {
    /// No variables and no files.
    pub const NONE: Self = Self {
        variable: &|_name| None,
        file: &|_of, _path| Err("there are no other files here".to_owned()),
    };
}

impl Surroundings<'_> {
    /// A text with its variables replaced, and `$${` by `${`. What a value has in it is not looked at again.
    pub(crate) fn replace(&self, text: &str) -> Result<String, Cause> {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            replaced.push_str(before);
            if let Some(behind) = from.strip_prefix("$${") {
                replaced.push_str("${");
                rest = behind;
            } else if let Some(behind) = from.strip_prefix("${") {
                let (name, behind) = behind.split_once('}').ok_or(Cause::VariableForm)?;
                replaced.push_str(&self.value(name)?);
                rest = behind;
            } else {
                replaced.push('$');
                rest = &from[1..];
            }
            if replaced.len() > TEXT_BYTES_MAX {
                break;
            }
        }
        replaced.push_str(rest);
        if replaced.len() > TEXT_BYTES_MAX {
            let (bytes, most) = (replaced.len(), TEXT_BYTES_MAX);
            return Err(Cause::TooLong { bytes, most });
        }
        Ok(replaced)
    }

    fn value(&self, name: &str) -> Result<String, Cause> {
        if !is_variable(name) {
            return Err(Cause::VariableForm);
        }
        let name_of = || name.to_owned();
        (self.variable)(name).ok_or_else(|| Cause::NoVariable { name: name_of() })
    }

    /// The text of a file below the folder of the pipeline file.
    pub(crate) fn file(&self, of: &str, path: &str) -> Result<String, Cause> {
        let fault = |reason: String| Cause::File {
            path: path.chars().take(200).collect(),
            reason,
        };
        let leaves = |part: &str| part.is_empty() || part == "." || part == "..";
        if path.contains(['\\', '\0', ':']) || path.split('/').any(leaves) {
            let reason = "write a file below the folder of this one, as queries/trips.sql";
            return Err(fault(reason.to_owned()));
        }
        let text = (self.file)(of, path).map_err(fault)?;
        if text.len() > FILE_BYTES_MAX {
            let reason = format!("{} bytes are more than {FILE_BYTES_MAX}", text.len());
            return Err(fault(reason));
        }
        Ok(text)
    }
}

/// Whether a variable can have this name.
pub(crate) fn is_variable(name: &str) -> bool {
    let is_part = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    let begins = name
        .bytes()
        .next()
        .is_some_and(|byte| !byte.is_ascii_digit());
    begins && name.bytes().all(is_part)
}

/// A text as it is written where variables are replaced: reading it gives the text again.
pub(crate) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replaced(text: &str) -> Result<String, Cause> {
        let surroundings = Surroundings {
            variable: &|name| (name == "A_1").then(|| "x${A_1}".to_owned()),
            ..Surroundings::NONE
        };
        surroundings.replace(text)
    }

    #[test]
    fn variables_are_replaced_once_and_dollars_stay() {
        for (text, expected) in [
            ("${A_1}/${A_1}", "x${A_1}/x${A_1}"),
            ("$5 $$ $", "$5 $$ $"),
            ("$${A_1}", "${A_1}"),
            ("$$${A_1}", "$${A_1}"),
            ("é${A_1}é", "éx${A_1}é"),
        ] {
            assert_eq!(replaced(text).unwrap(), expected);
        }
        for text in ["${", "${}", "${1}", "${A B}", "${A"] {
            assert_eq!(replaced(text), Err(Cause::VariableForm), "{text}");
        }
        let name = "B".to_owned();
        assert_eq!(replaced("${B}"), Err(Cause::NoVariable { name }));
    }

    #[test]
    fn a_file_cannot_leave_the_folder() {
        let surroundings = Surroundings {
            file: &|_of, path| Ok(path.to_owned()),
            ..Surroundings::NONE
        };
        assert!(surroundings.file("a.yaml", "a/b.sql").is_ok());
        for path in [
            "",
            "/etc/passwd",
            "../a",
            "a/../b",
            "./a",
            "a//b",
            "C:\\a",
            "a\0",
        ] {
            assert!(surroundings.file("a.yaml", path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn an_escaped_text_is_read_as_it_was(text in "[$a{}A_1]{0,12}") {
            prop_assert_eq!(replaced(&escape(&text)), Ok(text));
        }
    }
}
