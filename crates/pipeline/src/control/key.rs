//! [`Key`]: the keys of the control topics: JSON arrays of texts that begin with the environment.
//!
//! Invariant: keys are stored and compacted by their bytes, so a key has one spelling: that of `serde_json`, without spaces.

/// What separates the name of a pipeline from the number of a version. No name has it.
const VERSION_MARK: char = '@';

/// The parts of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<String>);

impl Key {
    /// A key of these parts.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(parts.into_iter().map(str::to_owned).collect())
    }

    /// The key of what runs of a pipeline.
    pub fn current(environment: &str, pipeline: &str) -> Self {
        Self::new([environment, pipeline])
    }

    /// The key of a version that is kept.
    pub fn version(environment: &str, pipeline: &str, version: u32) -> Self {
        Self::new([environment, &format!("{pipeline}{VERSION_MARK}{version}")])
    }

    /// Reads the bytes of a key.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().map(Self)
    }

    /// The bytes of the key.
    pub fn bytes(&self) -> Vec<u8> {
        // Texts are all that is in it, and they can be written.
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// The parts.
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// Environment, pipeline, and the version if it is the key of one.
    pub(crate) fn of_pipeline(&self) -> Option<(&str, &str, Option<u32>)> {
        let [environment, name] = self.0.as_slice() else {
            return None;
        };
        match name.split_once(VERSION_MARK) {
            None => Some((environment, name, None)),
            Some((pipeline, number)) => Some((environment, pipeline, Some(number.parse().ok()?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_spelling() {
        let key = Key::version("dev", "trips", 12);
        assert_eq!(key.bytes(), br#"["dev","trips@12"]"#);
        assert_eq!(Key::read(&key.bytes()), Some(key.clone()));
        assert_eq!(key.of_pipeline(), Some(("dev", "trips", Some(12))));
        let current = Key::current("dev", "trips");
        assert_eq!(current.of_pipeline(), Some(("dev", "trips", None)));
        for other in [&br#"["dev"]"#[..], br#"["dev","a@x"]"#, br#"["a","b","c"]"#] {
            assert_eq!(Key::read(other).unwrap().of_pipeline(), None);
        }
        for other in [&b"dev"[..], b"", br#"["dev",1]"#] {
            assert_eq!(Key::read(other), None);
        }
    }
}
