//! [`Directory`]: the files of a folder together: what none of them can know alone.
//!
//! Files are looked at in the order of their names, and of two that clash the later one is told. A file with mistakes takes part
//! with what could be read of it, so that one run tells everything.

mod circles;

use std::collections::HashMap;

use crate::problem::{Cause, Problem};
use crate::read::File;
use crate::source::{Input, Source};
use crate::surroundings::Surroundings;

/// The files of a folder.
#[derive(Debug)]
pub struct Directory {
    files: Vec<File>,
    problems: Vec<Problem>,
}

/// A topic that a file names.
struct Named<'a> {
    topic: String,
    file: &'a File,
    path: Vec<&'a str>,
    use_of: Use,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Written,
    DeadLetters,
}

impl Directory {
    /// Reads files, each given by its name and bytes.
    pub fn read<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        surroundings: &Surroundings<'_>,
    ) -> Self {
        let mut given: Vec<_> = files.into_iter().collect();
        given.sort_by_key(|(name, _)| *name);
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for (name, bytes) in given {
            let (file, found) = File::read_in_part(name, bytes, surroundings);
            files.extend(file);
            problems.extend(found);
        }
        problems.extend(of_names(&files));
        let topics = topics(&files);
        problems.extend(of_topics(&topics));
        problems.extend(of_contracts(&files));
        problems.extend(of_circles(&files, &topics));
        // Each file's problems together, as an editor lists them.
        problems.sort_by(|one, other| (&one.file, one.at).cmp(&(&other.file, other.at)));
        Self { files, problems }
    }

    /// The files, if nothing is wrong with any of them.
    ///
    /// # Errors
    /// All that is wrong, file by file.
    pub fn into_files(self) -> Result<Vec<File>, Vec<Problem>> {
        if self.problems.is_empty() {
            Ok(self.files)
        } else {
            Err(self.problems)
        }
    }
}

/// The inputs whose columns no file tells: topics that none of the files writes or declares columns of. Only the cluster knows
/// their contracts.
pub fn unknown_contracts(files: &[File]) -> Vec<(&File, &Input)> {
    let mut known: Vec<&str> = files
        .iter()
        .filter_map(|file| file.pipeline.sink.topic())
        .collect();
    let inputs = || {
        files
            .iter()
            .flat_map(|file| file.pipeline.inputs.iter().map(move |input| (file, input)))
    };
    let declared = inputs().filter(|(_, input)| input.columns.is_some());
    known.extend(declared.filter_map(|(_, input)| topic_of(input)));
    known.sort_unstable();
    let is_unknown = |topic: &str| known.binary_search(&topic).is_err();
    inputs()
        .filter(|(_, input)| topic_of(input).is_some_and(is_unknown))
        .collect()
}

fn topic_of(input: &Input) -> Option<&str> {
    match &input.source {
        Source::Topic(topic) => Some(&topic.name),
        Source::Files(_) | Source::Postgres(_) => None,
    }
}

fn of_names(files: &[File]) -> Vec<Problem> {
    let mut first: HashMap<&str, &File> = HashMap::new();
    let mut problems = Vec::new();
    for file in files {
        let name = file.pipeline.name.as_str();
        match first.get(name) {
            None => {
                first.insert(name, file);
            }
            Some(other) => {
                let cause = Cause::SamePipeline {
                    name: name.to_owned(),
                    file: other.name.clone(),
                };
                problems.push(file.problem(&["pipeline"], cause));
            }
        }
    }
    problems
}

/// All topics that files name, what is written before what is read.
fn topics(files: &[File]) -> Vec<Named<'_>> {
    let mut topics = Vec::new();
    for file in files {
        let pipeline = &file.pipeline;
        let mut name = |topic: &str, path: Vec<_>, use_of| {
            let topic = topic.to_owned();
            topics.push(Named {
                topic,
                file,
                path,
                use_of,
            });
        };
        if let Some(topic) = pipeline.sink.topic() {
            name(topic, vec!["to", "topic", "name"], Use::Written);
        }
        name(
            &pipeline.dead_letters(),
            vec!["bad_records", "topic"],
            Use::DeadLetters,
        );
    }
    for file in files {
        for input in &file.pipeline.inputs {
            if let Some(topic) = topic_of(input) {
                topics.push(Named {
                    topic: topic.to_owned(),
                    file,
                    path: vec!["from", &input.name, "topic", "name"],
                    use_of: Use::Read,
                });
            }
        }
    }
    topics
}

fn of_topics(topics: &[Named<'_>]) -> Vec<Problem> {
    let mut writers: HashMap<&str, &Named<'_>> = HashMap::new();
    let mut spelled: HashMap<String, &Named<'_>> = HashMap::new();
    let mut problems = Vec::new();
    for named in topics {
        let topic = &named.topic;
        if named.use_of != Use::Read {
            // Dead letters of several pipelines may go to one topic: their keys tell them apart.
            match writers.get(topic.as_str()) {
                Some(other) if [named.use_of, other.use_of].contains(&Use::Written) => {
                    let cause = Cause::SameTopic {
                        topic: topic.clone(),
                        file: other.file.name.clone(),
                    };
                    problems.push(named.file.problem(&named.path, cause));
                }
                Some(_) => {}
                None => {
                    writers.insert(topic, named);
                }
            }
        }
        match spelled.entry(crate::names::unified(topic)) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(named);
            }
            std::collections::hash_map::Entry::Occupied(entry) => {
                let other = entry.get();
                if other.topic != *topic {
                    let cause = Cause::CollidingTopic {
                        topic: topic.clone(),
                        other: other.topic.clone(),
                        file: other.file.name.clone(),
                    };
                    problems.push(named.file.problem(&named.path, cause));
                }
            }
        }
    }
    problems
}

/// A topic has one contract, whoever declares it.
fn of_contracts(files: &[File]) -> Vec<Problem> {
    let mut first: HashMap<&str, (&File, &Input)> = HashMap::new();
    let mut problems = Vec::new();
    for file in files {
        for input in &file.pipeline.inputs {
            let (Some(topic), Some(columns)) = (topic_of(input), &input.columns) else {
                continue;
            };
            let Some((other, declared)) = first.get(topic) else {
                first.insert(topic, (file, input));
                continue;
            };
            if declared
                .columns
                .as_ref()
                .is_some_and(|other| other.columns != columns.columns)
            {
                let cause = Cause::OtherContract {
                    topic: topic.to_owned(),
                    file: other.name.clone(),
                };
                problems.push(file.problem(&["from", &input.name, "columns"], cause));
            }
        }
    }
    problems
}

fn of_circles(files: &[File], topics: &[Named<'_>]) -> Vec<Problem> {
    let index: HashMap<*const File, usize> = files
        .iter()
        .enumerate()
        .map(|(index, file)| (std::ptr::from_ref(file), index))
        .collect();
    let of = |named: &Named<'_>| index.get(&std::ptr::from_ref(named.file)).copied();
    let mut writers: HashMap<&str, Vec<usize>> = HashMap::new();
    for named in topics.iter().filter(|named| named.use_of != Use::Read) {
        writers.entry(&named.topic).or_default().extend(of(named));
    }
    let mut after = vec![Vec::new(); files.len()];
    for named in topics.iter().filter(|named| named.use_of == Use::Read) {
        let Some(reader) = of(named) else { continue };
        for writer in writers.get(named.topic.as_str()).into_iter().flatten() {
            after[*writer].push(reader);
        }
    }
    let circles = circles::find(&after).into_iter();
    circles
        .filter_map(|circle| {
            let first = files.get(*circle.first()?)?;
            let mut names: Vec<_> = circle
                .iter()
                .map(|index| files[*index].pipeline.name.clone())
                .collect();
            names.push(first.pipeline.name.clone());
            Some(first.problem(&["from"], Cause::Circle { names }))
        })
        .collect()
}
