//! Restarts in a line: how many, how long, how much they read.

use super::broker::Restart;

/// For people; none is nothing to tell.
pub(crate) fn shown(restarts: &[Restart]) -> String {
    let mut took: Vec<_> = restarts.iter().map(|restart| restart.took).collect();
    took.sort_unstable();
    let mut read: Vec<_> = restarts.iter().map(|restart| restart.read).collect();
    read.sort_unstable();
    let from_disk: u64 = restarts.iter().map(|restart| restart.read_from_disk).sum();
    match (took.last(), read.last()) {
        (Some(longest), Some(most)) => format!(
            "{} restarts, from SIGKILL to the first answer: median {:.1} ms, longest {:.1} ms; bytes read by each: median {}, most {most}; {from_disk} from the disk in all",
            restarts.len(),
            took[took.len() / 2].as_secs_f64() * 1000.0,
            longest.as_secs_f64() * 1000.0,
            read[read.len() / 2],
        ),
        _ => "no restart".to_owned(),
    }
}
