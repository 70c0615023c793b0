//! The name that was perhaps meant.

/// The name nearest to `wanted`, if one is near: the same but for case, or a few letters away.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wanted.to_lowercase();
    // A third of the letters may differ; of short names one.
    let far = (wanted.chars().count() / 3).max(1);
    names
        .map(|name| {
            let letters = strsim::damerau_levenshtein(&lower, &name.to_lowercase());
            // Of names that are as near the one whose capitals are, too.
            (letters, strsim::damerau_levenshtein(wanted, name), name)
        })
        .filter(|(letters, ..)| *letters <= far)
        .min()
        .map(|(.., name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["page-views", "Trips", "trips", "Trips2", "x"];
        let near = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(near("page_views"), Some("page-views"));
        assert_eq!(near("trip"), Some("trips"));
        assert_eq!(near("tripS2"), Some("Trips2"));
        assert_eq!(near("customers"), None);
    }
}
