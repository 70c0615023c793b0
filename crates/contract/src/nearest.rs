//! The known word that was perhaps meant.

/// Longer words are not compared.
const BYTES_MAX: usize = 256;

/// The one of the known words that is nearest to `wanted`, if one is near: the same but for case, or with a third of its letters
/// wrong at most (one, if it is short). Two that are swapped are one that is wrong.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wanted.len() > BYTES_MAX {
        return None;
    }
    let lower = wanted.to_lowercase();
    let far = (wanted.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|word| word.len() <= 2 * BYTES_MAX)
        .map(|word| {
            let letters = strsim::damerau_levenshtein(&lower, &word.to_lowercase());
            let exactly = strsim::damerau_levenshtein(wanted, word);
            // Of words that are as near the one whose capitals are, too; then the longer one, since a letter is sooner left out
            // than put in; then the first, so that the answer is always the same.
            (letters, exactly, std::cmp::Reverse(word.len()), word)
        })
        .filter(|(letters, ..)| *letters <= far)
        .min()
        .map(|(.., word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["page-views", "Trips", "trips", "Trips2", "x"];
        let near = |wanted| nearest(wanted, words);
        assert_eq!(near("page_views"), Some("page-views"));
        assert_eq!(near("trip"), Some("trips"));
        assert_eq!(near("tirps"), Some("trips"));
        assert_eq!(near("tripS2"), Some("Trips2"));
        assert_eq!(near("PAGE-VIEWS"), Some("page-views"));
        assert_eq!(near("customers"), None);
        let types = ["timestamp", "timestamptz"];
        assert_eq!(nearest("timestampz", types), Some("timestamptz"));
        assert_eq!(near(&"x".repeat(300)), None);
    }
}
