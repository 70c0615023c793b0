//! Whether a text is JSON.

use jiter::Jiter;

pub(super) fn is_json(text: &str) -> bool {
    let mut jiter = Jiter::new(text.as_bytes());
    jiter.next_skip().and_then(|()| jiter.finish()).is_ok()
}
