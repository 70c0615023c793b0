//! The files of a folder, compiled together: a file that writes a topic tells those that read it which columns there are.
//!
//! Files are compiled in the order in which they read what others write, each once. A file with faults does not hide those of
//! others: what it would have written is not known then, and nothing is said of what depends on it.

use std::collections::{BTreeMap, HashMap};

use contract::Column;
use spec::{Cause, File, Input, Problem, Source};

use crate::engine::{Compiled, Fault, InputTable, Metadata, Options, Place};

/// A file with what it compiles to.
#[derive(Debug)]
pub struct Resolved {
    /// The file.
    pub file: File,
    /// Its inputs, in the order of the file.
    pub inputs: Vec<InputTable>,
    /// Its query. Without one there is a problem, or a contract is missing that only the cluster knows.
    pub compiled: Option<Compiled>,
}

/// All files of a folder.
#[derive(Debug)]
pub struct Directory {
    /// The files, in the order they were given.
    pub files: Vec<Resolved>,
    /// What is wrong, file by file, in the order of each.
    pub problems: Vec<Problem>,
    /// Names of columns that could not be looked up, since only the cluster knows the contract of an input: what would be told if
    /// there were no more to know.
    pub unchecked: Vec<Problem>,
}

/// Compiles files that were read together. `known` tells the columns of topics that no file writes or declares, if anybody knows.
pub fn compile(
    files: Vec<File>,
    known: &dyn Fn(&str) -> Option<Vec<Column>>,
    options: Options,
) -> Directory {
    let mut compiling = Compiling {
        contracts: declared(&files),
        known,
        options,
        problems: Vec::new(),
        unchecked: Vec::new(),
    };
    let mut done: BTreeMap<usize, (Vec<InputTable>, Option<Compiled>)> = BTreeMap::new();
    for index in order(&files) {
        if let Some(file) = files.get(index) {
            done.insert(index, compiling.file(file));
        }
    }
    let mut problems = compiling.problems;
    let mut unchecked = compiling.unchecked;
    for list in [&mut problems, &mut unchecked] {
        list.sort_by(|one, other| (&one.file, one.at).cmp(&(&other.file, other.at)));
    }
    let files = files.into_iter().zip(done.into_values());
    let files = files.map(|(file, (inputs, compiled))| Resolved {
        file,
        inputs,
        compiled,
    });
    Directory {
        files: files.collect(),
        problems,
        unchecked,
    }
}

/// What is known of a topic.
#[derive(Clone, Debug)]
enum TopicColumns {
    /// Its columns, and the file that writes it if one does.
    Known(Vec<Column>, Option<String>),
    /// Its writer has faults.
    Faulty,
}

struct Compiling<'a> {
    contracts: HashMap<String, TopicColumns>,
    known: &'a dyn Fn(&str) -> Option<Vec<Column>>,
    options: Options,
    problems: Vec<Problem>,
    unchecked: Vec<Problem>,
}

fn topic_of(input: &Input) -> Option<&str> {
    match &input.source {
        Source::Topic(topic) => Some(&topic.name),
        Source::Files(_) | Source::Postgres(_) => None,
    }
}

/// The columns of topics that inputs declare.
fn declared(files: &[File]) -> HashMap<String, TopicColumns> {
    let inputs = files.iter().flat_map(|file| &file.pipeline.inputs);
    let declared = inputs.filter_map(|input| {
        let columns = input.columns.as_ref()?.columns.clone();
        Some((
            topic_of(input)?.to_owned(),
            TopicColumns::Known(columns, None),
        ))
    });
    declared.collect()
}

/// The files, writers before readers. Of files in a circle, which is told elsewhere, the order is that of the files.
fn order(files: &[File]) -> Vec<usize> {
    let mut writers: HashMap<&str, usize> = HashMap::new();
    for (index, file) in files.iter().enumerate() {
        if let Some(topic) = file.pipeline.sink.topic() {
            writers.entry(topic).or_insert(index);
        }
    }
    let before: Vec<Vec<usize>> = files
        .iter()
        .map(|file| {
            let topics = file.pipeline.inputs.iter().filter_map(topic_of);
            topics
                .filter_map(|topic| writers.get(topic).copied())
                .collect()
        })
        .collect();
    let mut order = Vec::with_capacity(files.len());
    let mut is_met = vec![false; files.len()];
    for first in 0..files.len() {
        // A file stays on the stack until all that it reads is done.
        let mut stack = vec![(first, 0)];
        while let Some((index, next)) = stack.pop() {
            if next == 0 && std::mem::replace(&mut is_met[index], true) {
                continue;
            }
            match before[index].get(next) {
                Some(writer) => {
                    stack.push((index, next + 1));
                    stack.push((*writer, 0));
                }
                None => order.push(index),
            }
        }
    }
    order
}

impl Compiling<'_> {
    fn file(&mut self, file: &File) -> (Vec<InputTable>, Option<Compiled>) {
        let mut inputs = Vec::new();
        let mut is_faulty = false;
        for input in &file.pipeline.inputs {
            let (table, is_of_faulty) = self.input(file, input);
            is_faulty |= is_of_faulty;
            inputs.push(table);
        }
        let compiled = match Compiled::new(&file.pipeline, &inputs, self.options) {
            Ok(compiled) => Some(compiled),
            Err(faults) => {
                for fault in faults {
                    let is_open = fault.unknown.is_some();
                    let problem = problem(file, fault);
                    if !is_open {
                        self.problems.push(problem);
                    } else if !is_faulty {
                        self.unchecked.push(problem);
                    }
                }
                None
            }
        };
        if let Some(topic) = file.pipeline.sink.topic() {
            let columns = match &compiled {
                Some(compiled) => {
                    TopicColumns::Known(compiled.output().to_vec(), Some(file.name.clone()))
                }
                None => TopicColumns::Faulty,
            };
            self.contracts.insert(topic.to_owned(), columns);
        }
        (inputs, compiled)
    }

    /// An input as a table, and whether the file that writes it has faults.
    fn input(&mut self, file: &File, input: &Input) -> (InputTable, bool) {
        let metadata = metadata(&input.source);
        let written = topic_of(input).and_then(|topic| self.contracts.get(topic));
        let columns = match (&input.columns, written) {
            (Some(columns), Some(TopicColumns::Known(written, Some(writer)))) => {
                let problems = contradictions(file, input, &columns.columns, written, writer);
                self.problems.extend(problems);
                Some(columns.columns.clone())
            }
            (Some(columns), _) => Some(columns.columns.clone()),
            (None, Some(TopicColumns::Known(columns, _))) => Some(columns.clone()),
            (None, Some(TopicColumns::Faulty)) => None,
            (None, None) => topic_of(input).and_then(self.known),
        };
        let is_faulty = input.columns.is_none() && matches!(written, Some(TopicColumns::Faulty));
        let table = InputTable {
            name: input.name.clone(),
            is_known: columns.is_some(),
            columns: columns.unwrap_or_default(),
            metadata,
        };
        (table, is_faulty)
    }
}

/// The columns that say where a row of a source comes from.
pub fn metadata(source: &Source) -> Metadata {
    match source {
        Source::Topic(_) => Metadata::Topic,
        Source::Files(_) => Metadata::File,
        Source::Postgres(_) => Metadata::None,
    }
}

/// Declared columns of a topic that its writer does not write so.
fn contradictions(
    file: &File,
    input: &Input,
    declared: &[Column],
    written: &[Column],
    writer: &str,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for column in declared {
        let found = written.iter().find(|written| written.name == column.name);
        if found.is_some_and(|found| found.data_type == column.data_type) {
            continue;
        }
        let cause = Cause::OtherColumn {
            topic: topic_of(input).unwrap_or_default().to_owned(),
            file: writer.to_owned(),
            column: column.name.clone(),
            written: found.map(|found| found.data_type.to_string()),
        };
        problems.push(file.problem(&["from", &input.name, "columns", &column.name], cause));
    }
    problems
}

/// A fault at its place in the file.
pub fn problem(file: &File, fault: Fault) -> Problem {
    let (at, key) = match &fault.place {
        Place::Sql(offset) => (file.place_in_sql(*offset), "sql".to_owned()),
        Place::Check(number) => file.place_of_check(*number),
        Place::Key(path) => {
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            (file.place(&path), path.join("."))
        }
    };
    Problem {
        file: file.name.clone(),
        at,
        key,
        cause: Cause::Query {
            message: fault.message,
            hint: fault.hint,
        },
    }
}
