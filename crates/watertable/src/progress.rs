//! Progress on standard error, only when a person is looking and the results go elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Redraws per second; more costs time and nobody sees it.
const DRAWS_PER_SECOND: u8 = 8;

/// A bar for `total` steps, or a counter if the end is not known. Invisible when standard error is no terminal, or when
/// `unless` says that it would get in the way.
pub(crate) fn bar(total: Option<u64>, what: &'static str, unless: bool) -> ProgressBar {
    if unless || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{wide_bar} {human_pos}/{human_len} {msg} {per_sec}, {eta} left",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {human_pos} {msg} {per_sec} {elapsed}",
        ),
    };
    bar.set_draw_target(target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Whether standard output goes to a person, whose lines a bar would disturb.
pub(crate) fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}
