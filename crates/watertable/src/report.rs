//! How a command ends: its exit code, and on failure one sentence with the next step.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use client::{
    CallError, ConnectError, ConsumeError, MetadataError, Refusal, call_error, metadata_error,
};

use crate::output::OutputClosed;

/// A failure that knows what a person can do next.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Failure {
    what: String,
    next_step: String,
}

impl Failure {
    /// What failed, and what to do about it.
    pub(crate) fn new(what: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next_step: next_step.into(),
        }
    }
}

/// The work was done, and its result is told by the exit status, too. Nothing more is said.
#[derive(Debug, thiserror::Error)]
#[error("exit status {0}")]
pub(crate) struct Status(pub(crate) u8);

/// Reports the result on standard error and turns it into an exit code: `failure` if the command failed.
pub(crate) fn exit_code(result: anyhow::Result<()>, json: bool, failure: u8) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    // Whoever reads our output has seen enough (`watertable consume … | head`).
    if error.chain().any(|cause| cause.is::<OutputClosed>()) {
        return ExitCode::SUCCESS;
    }
    if let Some(Status(status)) = error.downcast_ref() {
        return ExitCode::from(*status);
    }
    let sentence = sentence(&error);
    let next_step = next_step(&error);
    let mut stderr = std::io::stderr().lock();
    let text = if json {
        let object = serde_json::json!({ "error": sentence, "next_step": next_step });
        format!("{object}\n")
    } else {
        let (red, bold, plain) = if stderr.is_terminal() {
            ("\x1b[1;31m", "\x1b[1m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let next_step = next_step.map(|step| format!("{bold}next:{plain} {step}\n"));
        let next_step = next_step.unwrap_or_default();
        format!("{red}error:{plain} {sentence}\n{next_step}")
    };
    // Nobody is left to tell.
    stderr.write_all(text.as_bytes()).ok();
    ExitCode::from(failure)
}

/// The error and its causes, each once.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    let mut last = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if text == last {
            continue;
        }
        if !sentence.is_empty() {
            sentence.push_str(": ");
        }
        sentence.push_str(&text);
        last = text;
    }
    sentence
}

/// What a person can do, by the most telling cause.
fn next_step(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return Some(failure.next_step.clone());
        }
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return refusal.next_step().map(str::to_owned);
        }
        if let Some(error) = cause.downcast_ref::<ConnectError>() {
            return after_connect(error);
        }
        if let Some(ConsumeError::OutOfRange { partition, .. }) = cause.downcast_ref() {
            return Some(shows_offsets(&partition.topic));
        }
        if let Some(MetadataError::NoPartition { topic, .. }) = metadata_error(cause) {
            return Some(format!(
                "`watertable topic describe {topic}` shows the partitions"
            ));
        }
        after_call(call_error(cause)?)
    })
}

/// Where to look when an offset is not in a log.
pub(crate) fn shows_offsets(topic: &str) -> String {
    format!("`watertable topic offsets {topic}` shows where the logs begin and end")
}

fn after_call(error: &CallError) -> Option<String> {
    match error {
        CallError::Connect(error) => after_connect(error),
        CallError::Timeout { .. } => {
            Some("allow more time with --timeout, or look into the broker's log".into())
        }
        CallError::Unsupported { .. } => {
            Some("the broker is too old, or too new, for this command".into())
        }
        CallError::Closed { .. } => Some("look into the broker's log for the reason".into()),
        CallError::Encode { .. } | CallError::Decode { .. } => None,
    }
}

fn after_connect(error: &ConnectError) -> Option<String> {
    Some(match error {
        ConnectError::Resolve { .. } => "check the host name in --brokers".into(),
        ConnectError::Connect { .. } | ConnectError::Timeout { .. } => {
            "start a broker there with `watertable start`, or name another with --brokers HOST:PORT"
                .into()
        }
        ConnectError::Handshake { .. } => {
            "check that the port in --brokers is a Kafka listener without TLS and SASL".into()
        }
        ConnectError::UnknownBroker { .. } => "`watertable cluster info` lists the brokers".into(),
        ConnectError::Bootstrap(source) => return after_connect(source),
        ConnectError::Refused { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_causes_are_told_once() {
        let inner = anyhow::anyhow!("connection refused");
        let same = inner
            .context("connection refused")
            .context("cannot list topics");
        assert_eq!(sentence(&same), "cannot list topics: connection refused");
    }

    #[test]
    fn the_next_step_comes_from_the_cause_that_knows_one() {
        let refusal = Refusal::new(protocol::ErrorCode::NonEmptyGroup);
        let error = anyhow::Error::new(refusal).context("cannot delete group 'g'");
        assert!(next_step(&error).is_some_and(|step| step.contains("members")));
        let failure = Failure::new("nothing to do", "do something");
        assert_eq!(next_step(&failure.into()).as_deref(), Some("do something"));
        assert_eq!(next_step(&anyhow::anyhow!("odd")), None);
    }
}
