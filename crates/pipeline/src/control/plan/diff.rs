//! [`diff`]: from what runs and what is wanted to what changes.

use std::collections::{BTreeMap, BTreeSet};

use spec::names::Environment;
use spec::{FILE_BYTES_MAX, File, Source, Surroundings};

use super::classify::{self, Difference, classify};
use super::topics::{Used, topics, used};
use super::wanted::{Facts, Wanted};
use super::{ChangeKind, PLAN_FORMAT, PipelinePlan, Plan, PlanFault, PlanProblem, Reader, rules};
use crate::control::record::{Class, PipelineRecord, PipelineState};
use crate::control::state::State;
use crate::control::{Time, fingerprint};
use crate::tasks::{self, Task};

/// What somebody says beside the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Pipelines that run and have no file are removed.
    pub remove: bool,
    /// It is known where reading begins in what was not read before.
    pub accept_source_change: bool,
    /// The commit of the files.
    pub git_commit: Option<String>,
}

/// What changes when the files are what runs.
///
/// # Errors
/// All that cannot be done.
pub fn diff(
    environment: &Environment,
    current: &State,
    wanted: &[Wanted],
    facts: &Facts,
    options: &Options,
) -> Result<Plan, Vec<PlanProblem>> {
    let planner = Planner::new(environment, current, wanted, facts, options);
    let mut plan = Plan {
        format: PLAN_FORMAT,
        environment: environment.to_string(),
        base: current.base(environment),
        pipelines: Vec::new(),
        unchanged: Vec::new(),
        without_file: Vec::new(),
    };
    let mut problems = planner.problems_of_all();
    for wanted in wanted {
        let mut faults = Vec::new();
        match planner.pipeline(wanted, &mut faults) {
            Some(pipeline) => plan.pipelines.push(pipeline),
            None if faults.is_empty() => plan.unchanged.push(wanted.pipeline.name.clone()),
            None => {}
        }
        problems.extend(
            faults
                .into_iter()
                .map(|fault| planner.problem(wanted, fault)),
        );
    }
    for record in planner.without_file() {
        if options.remove {
            plan.pipelines.push(removed(record));
        } else {
            plan.without_file.push(record.pipeline.clone());
        }
    }
    plan.pipelines
        .sort_by(|one, other| one.pipeline.cmp(&other.pipeline));
    plan.unchanged.sort();
    if problems.is_empty() {
        Ok(plan)
    } else {
        Err(problems)
    }
}

struct Planner<'a> {
    environment: &'a Environment,
    current: &'a State,
    wanted: &'a [Wanted],
    facts: &'a Facts,
    options: &'a Options,
    /// Who reads a topic, of the pipelines that run afterwards.
    readers: BTreeMap<String, BTreeSet<String>>,
    /// Who writes one.
    writers: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Planner<'a> {
    fn new(
        environment: &'a Environment,
        current: &'a State,
        wanted: &'a [Wanted],
        facts: &'a Facts,
        options: &'a Options,
    ) -> Self {
        let mut planner = Self {
            environment,
            current,
            wanted,
            facts,
            options,
            readers: BTreeMap::new(),
            writers: BTreeMap::new(),
        };
        let mut uses: Vec<(String, Used)> = Vec::new();
        for wanted in wanted {
            let tasks = tasks::compile(&wanted.pipeline, environment).unwrap_or_default();
            let of = used(&wanted.pipeline, &tasks, environment);
            uses.push((wanted.pipeline.name.clone(), of));
        }
        if !options.remove {
            let others = planner.without_file();
            uses.extend(others.map(|record| (record.pipeline.clone(), rules::topics_of(record))));
        }
        for (name, Used { read, written }) in uses {
            for topic in read {
                planner
                    .readers
                    .entry(topic)
                    .or_default()
                    .insert(name.clone());
            }
            for topic in written {
                planner
                    .writers
                    .entry(topic)
                    .or_default()
                    .insert(name.clone());
            }
        }
        planner
    }

    fn problem(&self, wanted: &Wanted, fault: PlanFault) -> PlanProblem {
        PlanProblem {
            file: wanted.file.clone(),
            pipeline: wanted.pipeline.name.clone(),
            fault,
        }
    }

    /// What is wrong with the environment as a whole, told of its first file.
    fn problems_of_all(&self) -> Vec<PlanProblem> {
        let faults = rules::foreign(self.environment, self.current).into_iter();
        let first = self.wanted.first();
        faults
            .filter_map(|fault| Some(self.problem(first?, fault)))
            .collect()
    }

    /// What runs and has no file.
    fn without_file(&self) -> impl Iterator<Item = &'a PipelineRecord> {
        let wanted = self.wanted.iter();
        let wanted: BTreeSet<_> = wanted.map(|wanted| wanted.pipeline.name.as_str()).collect();
        let deployed = self.current.deployed(self.environment);
        deployed
            .filter(move |record| !wanted.contains(record.pipeline.as_str()))
            .map(AsRef::as_ref)
    }

    /// What changes of one pipeline; nothing if nothing does, or if it cannot.
    fn pipeline(&self, wanted: &Wanted, faults: &mut Vec<PlanFault>) -> Option<PipelinePlan> {
        let name = wanted.pipeline.name.as_str();
        let tasks = match tasks::compile(&wanted.pipeline, self.environment) {
            Ok(tasks) => tasks,
            Err(error) => {
                faults.push(error.into());
                return None;
            }
        };
        let old = self.current.current(self.environment.as_str(), name);
        let old = old.map(AsRef::as_ref);
        let fingerprint = fingerprint(wanted);
        let difference = match old {
            None => Difference::default(),
            Some(old) => match old.pipeline() {
                Ok(before) => classify(old, &before, wanted, &fingerprint),
                Err(problems) => {
                    let fault = problems.first().map(ToString::to_string);
                    faults.push(PlanFault::Later {
                        version: old.version,
                        fault: fault.unwrap_or_default(),
                    });
                    return None;
                }
            },
        };
        let topics = topics(wanted, old, &tasks, self.environment, self.facts, faults);
        self.check_names(wanted, &tasks, &topics, faults);
        self.check_inputs(wanted, faults);
        self.check_circle(name, faults);
        self.check_length(wanted, faults);
        // What somebody deleted or set otherwise since is mended by the same version once more.
        let mends = (!topics.is_empty()).then_some((ChangeKind::Changed, Class::Metadata));
        let (change, class) = kind(old, &difference).or(mends)?;
        faults.extend(difference.faults.iter().cloned());
        self.check_source(wanted, old, &difference, faults);
        let output = match old {
            Some(old) => classify::columns(&old.output, &wanted.output),
            None => Vec::new(),
        };
        Some(PipelinePlan {
            pipeline: name.to_owned(),
            change,
            class: Some(class),
            from_version: old.map(|old| old.version),
            says: said(old, &difference),
            breaks_readers: output.iter().any(|says| !says.starts_with('+')),
            output,
            begins: self.begins(old, wanted, &difference),
            readers: self.readers(wanted, class),
            topics,
            outside: wanted.outside.clone(),
            back_test: None,
            record: self.record(wanted, old, fingerprint),
        })
    }

    fn record(
        &self,
        wanted: &Wanted,
        old: Option<&PipelineRecord>,
        fingerprint: String,
    ) -> PipelineRecord {
        let (environment, pipeline) = (self.environment.as_str(), &wanted.pipeline);
        let is_paused = old.is_some_and(|old| old.state == PipelineState::Paused);
        PipelineRecord {
            env: environment.to_owned(),
            pipeline: pipeline.name.clone(),
            version: self.current.next_version(environment, &pipeline.name),
            state: if is_paused {
                PipelineState::Paused
            } else {
                PipelineState::Running
            },
            fingerprint,
            spec: pipeline.to_json(),
            resolved: wanted.inputs.clone(),
            output: wanted.output.clone(),
            query: wanted.query.clone(),
            deployment: String::new(),
            author: String::new(),
            git_commit: self.options.git_commit.clone(),
            message: None,
            time: Time::default(),
        }
    }

    fn check_names(
        &self,
        wanted: &Wanted,
        tasks: &[Task],
        topics: &[super::TopicPlan],
        faults: &mut Vec<PlanFault>,
    ) {
        rules::created(topics, self.environment, self.facts, faults);
        let Used { read, written } = used(&wanted.pipeline, tasks, self.environment);
        let sink = wanted.pipeline.sink.topic();
        let sink = sink.map(|topic| self.environment.name(topic));
        let name = wanted.pipeline.name.as_str();
        for topic in sink.into_iter().filter(|topic| written.contains(topic)) {
            let writers = self.writers.get(&topic).into_iter().flatten();
            if let Some(writer) = writers.into_iter().find(|writer| *writer != name) {
                let writer = writer.clone();
                faults.push(PlanFault::Written { topic, writer });
            }
        }
        let all: Vec<_> = read.into_iter().chain(written).collect();
        rules::prefixes(self.environment, self.current, name, &all, faults);
    }

    /// Topics that are read are there, or are created by what is planned.
    fn check_inputs(&self, wanted: &Wanted, faults: &mut Vec<PlanFault>) {
        for input in &wanted.pipeline.inputs {
            let Source::Topic(source) = &input.source else {
                continue;
            };
            let topic = self.environment.name(&source.name);
            let is_there =
                self.facts.topics.contains_key(&topic) || self.writers.contains_key(&topic);
            if is_there {
                continue;
            }
            faults.push(PlanFault::no_topic(topic, self.environment, self.facts));
        }
    }

    /// What it writes does not come back to it.
    fn check_circle(&self, name: &str, faults: &mut Vec<PlanFault>) {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut next = vec![name];
        while let Some(pipeline) = next.pop() {
            let written = self.writers.iter();
            let written = written.filter(|(_, writers)| writers.contains(pipeline));
            let readers = written.filter_map(|(topic, _)| self.readers.get(topic));
            for reader in readers.flatten() {
                if !before.contains_key(reader.as_str()) {
                    before.insert(reader, pipeline);
                    next.push(reader);
                }
            }
        }
        let mut names = Vec::new();
        let mut at = before.get(name).copied();
        while let Some(pipeline) = at {
            names.push(pipeline.to_owned());
            at = (pipeline != name)
                .then(|| before.get(pipeline).copied())
                .flatten();
        }
        if names.is_empty() {
            return;
        }
        names.reverse();
        names.push(name.to_owned());
        faults.push(PlanFault::Circle { names });
    }

    /// What is stored can be read again.
    fn check_length(&self, wanted: &Wanted, faults: &mut Vec<PlanFault>) {
        let text = wanted.pipeline.to_json();
        let read = File::read("stored", text.as_bytes(), &Surroundings::NONE);
        if read.is_err() {
            let (bytes, most) = (text.len(), FILE_BYTES_MAX);
            faults.push(PlanFault::TooLong { bytes, most });
        }
    }

    /// Where reading begins was said.
    fn check_source(
        &self,
        wanted: &Wanted,
        old: Option<&PipelineRecord>,
        difference: &Difference,
        faults: &mut Vec<PlanFault>,
    ) {
        if old.is_none() || self.options.accept_source_change {
            return;
        }
        let is_unsaid = |(name, _): &&(String, String)| !wanted.says_start.contains(name);
        let unsaid = difference.begins.iter().filter(is_unsaid);
        let unsaid: Vec<_> = unsaid.map(|(_, begins)| begins.as_str()).collect();
        if !unsaid.is_empty() {
            let begins = unsaid.join(" and ");
            faults.push(PlanFault::SourceChange { begins });
        }
    }

    /// Where reading begins in what was not read before, or is to be read again.
    fn begins(
        &self,
        old: Option<&PipelineRecord>,
        wanted: &Wanted,
        difference: &Difference,
    ) -> Vec<String> {
        let mut begins = begins(old, wanted, difference);
        let name = &wanted.pipeline.name;
        let pending = self.current.pending_rewind(self.environment.as_str(), name);
        if let Some(version) = pending.and_then(|pending| pending.to_version) {
            begins.push(format!(
                "where v{version} ended: it is to go back there, and has not yet"
            ));
        }
        begins
    }

    /// Who reads what it writes.
    fn readers(&self, wanted: &Wanted, class: Class) -> Vec<Reader> {
        if matches!(class, Class::New | Class::Metadata) {
            return Vec::new();
        }
        let Some(topic) = wanted.pipeline.sink.topic() else {
            return Vec::new();
        };
        let topic = self.environment.name(topic);
        let pipelines = self.readers.get(&topic).into_iter().flatten();
        let pipelines = pipelines.map(|name| Reader::Pipeline(name.clone()));
        let groups = self.facts.groups.get(&topic).into_iter().flatten();
        let ours = self.environment.name("pl.");
        let groups = groups.filter(|group| !group.starts_with(&ours));
        let groups = groups.map(|group| Reader::Group(group.clone()));
        pipelines.chain(groups).collect()
    }
}

/// What happens to a pipeline, if anything does.
fn kind(old: Option<&PipelineRecord>, difference: &Difference) -> Option<(ChangeKind, Class)> {
    match old {
        None => Some((ChangeKind::New, Class::New)),
        Some(old) if old.state == PipelineState::Removed => {
            let class = difference.class().unwrap_or(Class::HandOver);
            Some((ChangeKind::New, class))
        }
        Some(_) => {
            let class = difference.class();
            // What cannot be done is told as well where nothing else changes.
            let class = class.or((!difference.faults.is_empty()).then_some(Class::SourceChange))?;
            if difference.is_of_checks() {
                Some((ChangeKind::Checks, class))
            } else {
                Some((ChangeKind::Changed, class))
            }
        }
    }
}

fn said(old: Option<&PipelineRecord>, difference: &Difference) -> Vec<String> {
    let mut says = Vec::new();
    match old {
        Some(old) if old.state == PipelineState::Removed => says.push(format!(
            "it was removed, and goes on where v{} ended",
            old.version
        )),
        Some(old) if old.state == PipelineState::Paused => {
            says.push("it is paused, and stays so".to_owned());
        }
        _ => {}
    }
    says.extend(difference.says.iter().cloned());
    says
}

/// Where reading begins in what was not read before.
fn begins(old: Option<&PipelineRecord>, wanted: &Wanted, difference: &Difference) -> Vec<String> {
    if old.is_some() {
        let begins = difference.begins.iter();
        return begins.map(|(_, begins)| begins.clone()).collect();
    }
    let inputs = wanted.pipeline.inputs.iter().zip(&wanted.inputs);
    let begin = |(input, resolved): (&spec::Input, _)| {
        classify::begin(&input.name, &input.source, resolved).1
    };
    inputs.map(begin).collect()
}

fn removed(record: &PipelineRecord) -> PipelinePlan {
    PipelinePlan {
        pipeline: record.pipeline.clone(),
        change: ChangeKind::Removed,
        class: None,
        from_version: Some(record.version),
        says: vec!["it stops; its versions, positions and topics stay".to_owned()],
        output: Vec::new(),
        breaks_readers: false,
        begins: Vec::new(),
        topics: Vec::new(),
        outside: Vec::new(),
        readers: Vec::new(),
        back_test: None,
        record: PipelineRecord {
            state: PipelineState::Removed,
            ..record.clone()
        },
    }
}
