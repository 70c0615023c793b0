//! [`infer`]: a contract is proposed from a sample of values. It is a proposal for somebody to look at; nothing else guesses.

mod delimited;
mod guess;
mod objects;

use crate::{Contract, ContractError};

/// What a sample looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// A contract that the sample fits.
    pub contract: Contract,
    /// Fields that are no columns of it.
    pub left_out: Vec<LeftOut>,
    /// How many values of the sample are not of its format.
    pub misfits: usize,
}

/// A field that cannot be a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why not.
    pub cause: crate::Cause,
}

/// Why there is no proposal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// There is nothing to look at.
    #[error("there is no record with a value in the sample")]
    Empty,
    /// It is neither of the formats that can be told by looking.
    #[error(
        "the sample is neither JSON objects nor CSV; Avro and Protobuf cannot be told by looking"
    )]
    NoFormat,
    /// No field can be a column, or the contract would be too long.
    #[error(transparent)]
    Contract(#[from] ContractError),
}

/// Proposes a contract that most of `values` fit: JSON if most are objects, else CSV if most have the same number of fields.
///
/// # Errors
/// There is nothing to look at, or it has no format that can be told by looking.
pub fn infer(values: &[&[u8]]) -> Result<Proposal, InferError> {
    if values.is_empty() {
        return Err(InferError::Empty);
    }
    let is_most = |misfits: usize| misfits <= values.len() / 2;
    let objects = objects::look(values);
    if is_most(objects.misfits) {
        return objects.proposal();
    }
    // What begins as an object but is none would be odd CSV.
    let is_broken = |value: &&&[u8]| value.trim_ascii_start().starts_with(b"{");
    if values.iter().filter(is_broken).count() > values.len() / 2 {
        return Err(InferError::NoFormat);
    }
    match delimited::look(values) {
        Some(lines) if is_most(lines.misfits) => lines.proposal(),
        _ => Err(InferError::NoFormat),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposed(values: &[&str]) -> String {
        let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
        match infer(&values) {
            Ok(proposal) => proposal.contract.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn objects_are_json() {
        assert_eq!(
            proposed(&[
                r#"{"zip": "01234", "n": 1, "km": 1, "at": "2013-01-01T10:00:00Z", "ok": true, "in": {"a": 1}, "x": null}"#,
                r#"{"n": 3000000000, "n": [], "km": 1.5, "at": null, "day": "2013-01-01", "e": "1", "big": 99999999999999999999}"#,
            ]),
            concat!(
                r#"{"format":"json","columns":[{"name":"zip","type":"text"},{"name":"n","type":"bigint"},"#,
                r#"{"name":"km","type":"double"},{"name":"at","type":"timestamptz"},{"name":"ok","type":"boolean"},"#,
                r#"{"name":"in","type":"json"},{"name":"x","type":"text"},{"name":"day","type":"date"},"#,
                r#"{"name":"e","type":"text"},{"name":"big","type":"double"}]}"#
            )
        );
        assert!(
            proposed(&["{\"a\":1}\n{\"a\":2}\n", "{\"a\":3}"])
                .starts_with("{\"format\":\"ndjson\"")
        );
    }

    #[test]
    fn lines_with_as_many_fields_are_csv() {
        assert_eq!(
            proposed(&[
                "1;01234;a;2013-01-01;",
                "2;1;b;2013-01-02;",
                "x;1;\"c;d\";2013-01-03;"
            ]),
            concat!(
                r#"{"format":"csv","delimiter":";","columns":[{"name":"column1","type":"text"},"#,
                r#"{"name":"column2","type":"text"},{"name":"column3","type":"text"},{"name":"column4","type":"date"},"#,
                r#"{"name":"column5","type":"text"}]}"#
            )
        );
        assert_eq!(
            proposed(&["1,NA,2", "1.5,3,NA"]),
            concat!(
                r#"{"format":"csv","null":"NA","columns":[{"name":"column1","type":"double"},"#,
                r#"{"name":"column2","type":"int"},{"name":"column3","type":"int"}]}"#
            )
        );
    }

    #[test]
    fn what_is_neither_is_said() {
        assert_eq!(proposed(&[]), InferError::Empty.to_string());
        assert_eq!(
            proposed(&["hello", "world"]),
            InferError::NoFormat.to_string()
        );
        assert_eq!(
            proposed(&["a,b", "c,d,e", "f"]),
            InferError::NoFormat.to_string()
        );
        assert_eq!(
            proposed(&["{\"a\": 1, \"b\": 2", "{\"a\": 1, \"b\": 2"]),
            InferError::NoFormat.to_string()
        );
        assert_eq!(infer(&[b"\xff\x00,"]), Err(InferError::NoFormat));
    }

    #[test]
    fn a_few_that_do_not_fit_do_not_change_the_format() {
        let proposal = infer(&[b"{\"a\":1}", b"{\"a\":", b"{\"a\":2,\"_b\":1}"]).unwrap();
        assert_eq!(proposal.misfits, 1);
        assert_eq!(proposal.left_out[0].name, "_b");
        assert_eq!(proposal.contract.columns().len(), 1);
    }
}
