//! Names of objects, `s3://bucket/key`, and which of them may be written.
//!
//! Invariants: a key is taken as it is written, nothing in it is decoded; it has no segment that is empty, `.` or `..`, so it
//! means the same to whoever reads it as a path. An object is allowed by whole segments: `s3://b/daily` is no leave for
//! `s3://b/daily-reports/x`.

use std::fmt;

use object_store::path::Path;

/// What names an object of a store begins with.
pub(crate) const SCHEME: &str = "s3://";
/// Of S3.
const KEY_BYTES_MAX: usize = 1024;

/// An object of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) bucket: String,
    pub(super) key: Path,
}

impl Location {
    /// Reads `s3://bucket/key`, or says why it is none.
    pub(super) fn parse(name: &str) -> Result<Self, &'static str> {
        let (bucket, key) = split(name)?;
        let key = key.ok_or("it has no key behind the bucket")?;
        if key.is_empty() || key.ends_with('/') {
            return Err("its key is empty or that of a folder");
        }
        let bucket = bucket.to_owned();
        let key = parse_key(key)?;
        Ok(Self { bucket, key })
    }
}

/// A bucket, or a folder in one, whose objects may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Prefix {
    bucket: String,
    folder: Path,
}

impl S3Prefix {
    /// Reads `s3://bucket` or `s3://bucket/folder`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (bucket, folder) = split(text)?;
        let folder = match folder {
            None | Some("") => Path::ROOT,
            Some("/") => return Err("its key has an empty segment"),
            Some(folder) => parse_key(folder.strip_suffix('/').unwrap_or(folder))?,
        };
        let bucket = bucket.to_owned();
        Ok(Self { bucket, folder })
    }

    pub(super) fn admits(&self, location: &Location) -> bool {
        let within = location.key.prefix_match(&self.folder);
        self.bucket == location.bucket && within.is_some_and(|mut rest| rest.next().is_some())
    }
}

impl fmt::Display for S3Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{SCHEME}{}/", self.bucket)?;
        if self.folder.is_root() {
            return Ok(());
        }
        write!(out, "{}/", self.folder)
    }
}

/// The bucket, and what is behind its slash.
fn split(name: &str) -> Result<(&str, Option<&str>), &'static str> {
    let rest = name
        .strip_prefix(SCHEME)
        .ok_or("it does not begin with s3://")?;
    let (bucket, key) = match rest.split_once('/') {
        Some((bucket, key)) => (bucket, Some(key)),
        None => (rest, None),
    };
    check_bucket(bucket)?;
    Ok((bucket, key))
}

/// The rules of S3 for buckets; a bucket becomes a part of a URL.
fn check_bucket(bucket: &str) -> Result<(), &'static str> {
    let is_letter = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let bytes = bucket.as_bytes();
    let ends_well = |end: Option<&u8>| end.is_some_and(|end| is_letter(*end));
    let is_good = (3..=63).contains(&bytes.len())
        && ends_well(bytes.first())
        && ends_well(bytes.last())
        && !bucket.contains("..")
        && bytes
            .iter()
            .all(|byte| is_letter(*byte) || matches!(byte, b'-' | b'.'));
    if is_good {
        return Ok(());
    }
    Err("a bucket has 3 to 63 lower-case letters, digits, dots and dashes")
}

fn parse_key(key: &str) -> Result<Path, &'static str> {
    if key.len() > KEY_BYTES_MAX {
        return Err("its key has more than 1024 bytes");
    }
    if key.starts_with('/') {
        return Err("its key has an empty segment");
    }
    match Path::parse(key) {
        Ok(path) => Ok(path),
        Err(object_store::path::Error::EmptySegment { .. }) => Err("its key has an empty segment"),
        Err(_) => Err("its key has . or .. for a segment, or a control character"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_mean_something_else_are_none() {
        let long = format!("s3://bucket/{}", "k".repeat(1025));
        for name in [
            "",
            "s3://",
            "s3:///a.csv",
            "s3://bucket",
            "s3://bucket/",
            "s3://bucket//a.csv",
            "s3://bucket/a//b.csv",
            "s3://bucket/a/",
            "s3://bucket/../other/a.csv",
            "s3://bucket/a/../b.csv",
            "s3://bucket/./a.csv",
            "s3://bucket/..",
            "s3://bucket/a\0.csv",
            "s3://bucket/a\n.csv",
            "s3://b/a.csv",
            "s3://Bucket/a.csv",
            "s3://bucket?x/a.csv",
            "s3://bucket:80/a.csv",
            "s3://user@bucket/a.csv",
            "s3://127.0.0.1:9000/a.csv",
            "s3://bu..cket/a.csv",
            "s3://-bucket/a.csv",
            "s3://bucket%2f/a.csv",
            "S3://bucket/a.csv",
            "s3a://bucket/a.csv",
            "https://bucket/a.csv",
            &long,
        ] {
            assert!(Location::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_key_is_taken_as_it_is_written() {
        for key in [
            "a.csv",
            "daily/a.csv",
            "a%2Fb.csv",
            "%2e%2e/a.csv",
            "a b+c?d#e.csv",
            "ü/…csv",
            "...",
            "a..b",
        ] {
            let location = Location::parse(&format!("s3://my-bucket.1/{key}")).unwrap();
            assert_eq!(location.bucket, "my-bucket.1");
            assert_eq!(location.key.as_ref(), key);
        }
        let longest = format!("s3://bucket/{}", "k".repeat(1024));
        assert!(Location::parse(&longest).is_ok());
    }

    #[test]
    fn a_prefix_admits_what_is_within_it_by_whole_segments() {
        let admits = |prefix: &str, name: &str| {
            let prefix = S3Prefix::parse(prefix).unwrap();
            prefix.admits(&Location::parse(name).unwrap())
        };
        assert!(admits("s3://bucket", "s3://bucket/a.csv"));
        assert!(admits("s3://bucket/", "s3://bucket/x/a.csv"));
        assert!(admits("s3://bucket/x", "s3://bucket/x/a.csv"));
        assert!(admits("s3://bucket/x/", "s3://bucket/x/y/a.csv"));
        assert!(!admits("s3://bucket/x", "s3://bucket/x"));
        assert!(!admits("s3://bucket/x", "s3://bucket/xy/a.csv"));
        assert!(!admits("s3://bucket/x", "s3://bucket/x.csv"));
        assert!(!admits("s3://bucket/x", "s3://other/x/a.csv"));
        assert!(!admits("s3://bucket/x", "s3://bucket/a.csv"));
        assert!(!admits("s3://bucket/x", "s3://bucket/%78/a.csv"));
        for wrong in [
            "bucket",
            "s3://",
            "s3://bucket/../x",
            "s3://bucket//",
            "s3://bucket//x",
            "s3://*",
        ] {
            assert!(S3Prefix::parse(wrong).is_err(), "{wrong}");
        }
        let shown = |text| S3Prefix::parse(text).unwrap().to_string();
        assert_eq!(shown("s3://bucket"), "s3://bucket/");
        assert_eq!(shown("s3://bucket/x/y/"), "s3://bucket/x/y/");
    }
}
