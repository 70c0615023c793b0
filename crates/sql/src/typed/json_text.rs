//! JSON that is text: whether a text is any, and making some of nested values.

use std::fmt;

use jiter::Jiter;

pub(super) fn is_json(text: &str) -> bool {
    let mut jiter = Jiter::new(text.as_bytes());
    jiter.next_skip().and_then(|()| jiter.finish()).is_ok()
}

/// The text of a value may have so many bytes, and so many more for each of the value's.
const BYTES_MIN: usize = 64 << 10;
const BYTES_FACTOR: usize = 16;

/// How long the JSON made of a value of so many bytes can be. Names of fields, which are not in the value, make it longer.
pub(super) const fn bytes_max(value_bytes: usize) -> usize {
    value_bytes
        .saturating_mul(BYTES_FACTOR)
        .saturating_add(BYTES_MIN)
}

/// JSON that grows within a bound, which all texts of a value share.
#[derive(Debug)]
pub(super) struct JsonText {
    text: String,
    left: usize,
    is_too_large: bool,
}

impl JsonText {
    /// For a value of so many bytes.
    pub(super) fn for_value(bytes: usize) -> Self {
        Self {
            text: String::new(),
            left: bytes_max(bytes),
            is_too_large: false,
        }
    }

    pub(super) fn begin(&mut self) {
        self.text.clear();
    }

    /// What was written since the beginning; `None` if it does not fit.
    pub(super) fn end(&mut self) -> Option<String> {
        let text = std::mem::take(&mut self.text);
        (!self.is_too_large).then_some(text)
    }

    pub(super) fn raw(&mut self, text: &str) {
        match self.left.checked_sub(text.len()) {
            Some(left) if !self.is_too_large => {
                self.left = left;
                self.text.push_str(text);
            }
            _ => self.is_too_large = true,
        }
    }

    /// What looks in JSON as it is displayed.
    pub(super) fn display(&mut self, value: impl fmt::Display) {
        self.raw(&value.to_string());
    }

    /// JSON has no number for what is not finite; it is text then, as Protobuf has it.
    pub(super) fn float(&mut self, is_finite: bool, value: impl fmt::Debug) {
        let text = format!("{value:?}");
        if is_finite {
            self.raw(&text);
        } else {
            let text = match text.as_str() {
                "inf" => "Infinity",
                "-inf" => "-Infinity",
                _ => "NaN",
            };
            self.string(text);
        }
    }

    pub(super) fn string(&mut self, text: &str) {
        if text.len() > self.left {
            self.is_too_large = true;
            return;
        }
        // Text is always JSON.
        self.raw(&serde_json::to_string(text).unwrap_or_default());
    }

    /// Bytes as they are shown everywhere.
    pub(super) fn hexadecimal(&mut self, bytes: &[u8]) {
        if bytes.len() > self.left / 2 {
            self.is_too_large = true;
            return;
        }
        self.string(&crate::columns::hexadecimal(bytes));
    }

    /// The key of a member.
    pub(super) fn key(&mut self, is_first: bool, key: &str) {
        if !is_first {
            self.raw(",");
        }
        self.string(key);
        self.raw(":");
    }
}
