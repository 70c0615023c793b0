//! [`View`]: the forms that a topic has as a table: `topic`, `topic@bytes`, `topic@latest` and `topic@bytes@latest`.
//!
//! Invariant: every form has one name. `@` is legal in no topic name.

use std::fmt;

use crate::columns::Form;
use crate::errors::UnknownTable;

/// Between a topic and how it is shown.
const SEPARATOR: char = '@';

/// How a topic is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// How bytes are.
    pub(crate) form: Form,
    /// Whether of each key only the newest record is there.
    pub(crate) is_latest: bool,
}

impl View {
    /// All there are, the plain one first.
    pub(crate) const ALL: [Self; 4] = [
        Self::new(Form::Text, false),
        Self::new(Form::Bytes, false),
        Self::new(Form::Text, true),
        Self::new(Form::Bytes, true),
    ];

    const fn new(form: Form, is_latest: bool) -> Self {
        Self { form, is_latest }
    }

    /// The topic that a table is of, and how it shows it.
    pub(crate) fn of_name(table: &str) -> Result<(&str, Self), UnknownTable> {
        let Some((topic, view)) = table.split_once(SEPARATOR) else {
            return Ok((table, Self::new(Form::Text, false)));
        };
        let known = Self::ALL
            .into_iter()
            .find(|known| known.suffix().strip_prefix(SEPARATOR) == Some(view));
        known
            .map(|known| (topic, known))
            .ok_or_else(|| UnknownTable::NoView {
                topic: topic.to_owned(),
                view: view.to_owned(),
            })
    }

    const fn suffix(self) -> &'static str {
        match (self.form, self.is_latest) {
            (Form::Text, false) => "",
            (Form::Bytes, false) => "@bytes",
            (Form::Text, true) => "@latest",
            (Form::Bytes, true) => "@bytes@latest",
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.suffix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_one_name() {
        for view in View::ALL {
            assert_eq!(View::of_name(&format!("trips{view}")), Ok(("trips", view)));
        }
        for name in [
            "trips@",
            "trips@latest@bytes",
            "trips@bytes@bytes",
            "@latest@",
        ] {
            assert!(View::of_name(name).is_err(), "{name}");
        }
    }
}
