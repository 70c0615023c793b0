//! Files of variables: `env/prod.yaml` has what `${NAME}` stands for in an environment.

use crate::problem::{Cause, Problem, Problems};
use crate::shape::{Rule, Shape, check};
use crate::surroundings::{Surroundings, TEXT_BYTES_MAX, is_variable};
use crate::tree::{Tree, build};
use crate::view::text_of;

const NAME_FORM: &str = "a name of a variable: letters, digits and _, no digit first, as LANDING";
static NAME: Rule = Rule::new(NAME_FORM, "^[A-Za-z_][A-Za-z0-9_]*$", |text| {
    let found = || text.chars().take(60).collect();
    let rule = NAME_FORM;
    let fault = || Cause::Unfit {
        found: found(),
        rule,
    };
    is_variable(text).then_some(()).ok_or_else(fault)
});
static TEXT: Rule = Rule::new("a text", "", |text| {
    let (bytes, most) = (text.len(), TEXT_BYTES_MAX);
    if bytes > most {
        return Err(Cause::TooLong { bytes, most });
    }
    // It would be pasted as it is, and say nothing.
    if text.starts_with(crate::secret::SECRET_PREFIX) {
        return Err(Cause::SecretHere("connection"));
    }
    Ok(())
});
static TEXT_SHAPE: Shape = Shape::Text(&TEXT);
static SHAPE: Shape = Shape::Row(&NAME, &TEXT_SHAPE);

/// The variables of a file, in its order.
///
/// # Errors
/// All that is wrong with it.
pub fn read_variables(name: &str, bytes: &[u8]) -> Result<Vec<(String, String)>, Vec<Problem>> {
    let mut problems = Problems::of(name);
    let root = build(bytes, &mut problems);
    let root = root.map(|mut root| {
        check(&mut root, &SHAPE, &Surroundings::NONE, &mut problems);
        root
    });
    match root.map(|root| root.tree) {
        Some(Tree::Map(entries)) if problems.is_empty() => {
            let texts = entries
                .iter()
                .filter_map(|entry| Some((entry.key.clone(), text_of(&entry.value)?.to_owned())));
            Ok(texts.collect())
        }
        _ => Err(problems.into_sorted()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let problems = read_variables("env/prod.yaml", text.as_bytes()).unwrap_err();
        problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect()
    }

    #[test]
    fn variables_are_texts_under_names() {
        let read = read_variables("a", b"LANDING: s3://landing\nPORT: '5432'\n").unwrap();
        let text = |text: &str| text.to_owned();
        assert_eq!(
            read,
            [
                (text("LANDING"), text("s3://landing")),
                (text("PORT"), text("5432"))
            ]
        );
        assert_eq!(
            said("A-B: x\nPORT: 5432\nPG: secret:pg\nA: x\nA: y\n"),
            "env/prod.yaml:1:1: A-B: \"A-B\" is not a name of a variable: letters, digits and _, no digit first, as LANDING\n\
             env/prod.yaml:2:7: PORT: expected a text, found the number 5432; write it in quotes: \"5432\"\n\
             env/prod.yaml:3:5: PG: a secret is not read here; only connection takes one\n\
             env/prod.yaml:5:1: A: the key stands in line 4 already; keep one of the two\n"
        );
        assert!(said("- a\n").contains("found a list"));
        assert!(said("").contains("empty"));
    }
}
