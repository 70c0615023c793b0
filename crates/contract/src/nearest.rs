//! The known word that was perhaps meant.

/// Words less alike than this are no misspellings.
const ALIKE: f64 = 0.8;
/// Longer words are not compared.
const BYTES_MAX: usize = 256;

/// The first of the words that are most like `wanted`.
pub(crate) fn nearest<'a>(
    wanted: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if wanted.len() > BYTES_MAX {
        return None;
    }
    let mut best: Option<(f64, &str)> = None;
    for word in known {
        let likeness = strsim::jaro_winkler(wanted, word);
        if likeness >= ALIKE && best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, word));
        }
    }
    best.map(|(_, word)| word)
}
