//! Makes outputs of two runs comparable: what differs from run to run by nature becomes a word that says what it was.

/// What is known of a run: texts and what they become, longest first so that a path wins over its parts.
#[derive(Debug, Default)]
pub(super) struct Known {
    words: Vec<(String, &'static str)>,
}

impl Known {
    pub(super) fn add(&mut self, text: &str, word: &'static str) {
        if !text.is_empty() {
            self.words.push((text.to_owned(), word));
            self.words
                .sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
    }

    /// A line with what is known, ids and times replaced, and runs of blanks as one: columns are as wide as their values.
    pub(super) fn line(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (text, word) in &self.words {
            line = line.replace(text, word);
        }
        let mut normal = String::with_capacity(line.len());
        let mut token = String::new();
        for letter in line.chars() {
            if letter.is_ascii_alphanumeric() || letter == '_' || letter == '-' {
                token.push(letter);
                continue;
            }
            normal.push_str(word_for(&token).unwrap_or(&token));
            token.clear();
            normal.push(letter);
        }
        normal.push_str(word_for(&token).unwrap_or(&token));
        without_sentence(sizes(
            &normal.split_whitespace().collect::<Vec<_>>().join(" "),
        ))
    }
}

/// The name of an exception without what it says to people, which no client may read.
fn without_sentence(mut line: String) -> String {
    if line.ends_with("Exception:") {
        // It says nothing.
        line.push(' ');
    }
    match line.rfind("Exception: ") {
        Some(at) if !line.starts_with('{') => format!("{}Exception: SENTENCE", &line[..at]),
        _ => line,
    }
}

/// The word for an id or a time.
fn word_for(token: &str) -> Option<&'static str> {
    if is_uuid(token) {
        return Some("UUID");
    }
    // A client's id followed by the uuid of a member, as classic groups name members.
    if let Some((at, _)) = token.char_indices().rev().nth(35)
        && at > 0
        && is_uuid(&token[at..])
    {
        return Some("MEMBER-UUID");
    }
    let is_time = token.len() == 13
        && token.starts_with('1')
        && token.bytes().all(|digit| digit.is_ascii_digit());
    if is_time {
        return Some("TIME");
    }
    // The group that a console consumer without one makes up.
    if token
        .strip_prefix("console-consumer-")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|digit| digit.is_ascii_digit()))
    {
        return Some("console-consumer-NUMBER");
    }
    is_base64_uuid(token).then_some("ID")
}

fn is_uuid(token: &str) -> bool {
    token.len() == 36
        && token.char_indices().all(|(at, letter)| {
            if [8, 13, 18, 23].contains(&at) {
                letter == '-'
            } else {
                letter.is_ascii_hexdigit()
            }
        })
}

/// As Kafka prints ids of topics and members: 22 letters of base 64, among them large, small and digits or signs.
fn is_base64_uuid(token: &str) -> bool {
    token.len() == 22
        && token.contains(|letter: char| letter.is_ascii_uppercase())
        && token.contains(|letter: char| letter.is_ascii_lowercase())
        && !token.ends_with("Exception")
        && token.bytes().filter(u8::is_ascii_uppercase).count() >= 3
}

/// `"size":123` of log directories.
fn sizes(line: &str) -> String {
    let mut normal = String::with_capacity(line.len());
    let mut rest = line;
    for key in ["\"size\":", "size: "] {
        while let Some((before, after)) = rest.split_once(key) {
            normal.push_str(before);
            normal.push_str(key);
            normal.push_str("SIZE");
            // Also of a line that was normalised before.
            let after = after.strip_prefix("SIZE").unwrap_or(after);
            rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit());
        }
    }
    normal.push_str(rest);
    normal
}

#[cfg(test)]
mod tests {
    use super::Known;

    #[test]
    fn ids_times_and_places_become_words() {
        let mut known = Known::default();
        known.add("127.0.0.1:9092", "ADDRESS");
        known.add("127.0.0.1", "HOST");
        let cases = [
            (
                "Topic: a  TopicId: 1mF7o_DZRHyVOjbmX6Rvbw x",
                "Topic: a TopicId: ID x",
            ),
            ("127.0.0.1:9092 /127.0.0.1", "ADDRESS /HOST"),
            (
                "consumer-g-1-0fd0c5ee-1e6d-4e7b-8d8e-4a8e6f1a2b3c",
                "MEMBER-UUID",
            ),
            ("0fd0c5ee-1e6d-4e7b-8d8e-4a8e6f1a2b3c", "UUID"),
            (
                "at 1732312345678 retention.ms=86400000",
                "at TIME retention.ms=86400000",
            ),
            (
                "{\"size\":17,\"x\":1,\"size\":0}",
                "{\"size\":SIZE,\"x\":1,\"size\":SIZE}",
            ),
            ("message.timestamp.type", "message.timestamp.type"),
            (
                "Caused by: a.b.CException: It broke.",
                "Caused by: a.b.CException: SENTENCE",
            ),
            (
                "Caused by: a.b.CException: ",
                "Caused by: a.b.CException: SENTENCE",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(known.line(line), expected);
        }
    }
}
