//! The histories that clients wrote, joined to what the checker reads: three of them, since what one reader must never see
//! another must.
//!
//! * committed: all sends and transactions, and what `read_committed` showed.
//! * uncommitted: the same sends, none of them in a transaction, and what `read_uncommitted` showed.
//! * victim: the topic whose log was damaged, without the offsets that were.

use super::flip::Damage;
use anyhow::{Context, Result};
use history::{Action, Event, Kind, Step};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::BufReader;
use std::path::Path;

/// What was recorded.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    /// By view, events in the order of their times.
    views: BTreeMap<String, Vec<Event>>,
    /// By process, the kind of client.
    kinds: HashMap<u32, String>,
}

/// What a kind of client did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) operations: usize,
    pub(crate) failed: usize,
    pub(crate) unknown: usize,
    /// Records sent in operations that happened, and polled.
    pub(crate) acked: usize,
    pub(crate) polled: usize,
}

/// Reads `history-VIEW-KIND-PROCESS.jsonl` of a folder.
pub(crate) fn read(folder: &Path) -> Result<Histories> {
    let mut found = Histories::default();
    let mut paths = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_stem().context("a name")?.to_string_lossy();
        let parts = name
            .strip_prefix("history-")
            .and_then(|name| name.split_once('-'))
            .and_then(|(view, rest)| Some((view, rest.rsplit_once('-')?)));
        let Some((view, (kind, process))) = parts else {
            continue;
        };
        found.kinds.insert(process.parse()?, kind.to_owned());
        let events = history::read(BufReader::new(fs::File::open(&path)?))
            .with_context(|| format!("read {}", path.display()))?;
        let all = found.views.entry(view.to_owned()).or_default();
        all.extend(without_what_outcomes_repeat(events));
    }
    for events in found.views.values_mut() {
        // Stable: the events of one file stay in their order.
        events.sort_by_key(|event| event.time);
    }
    Ok(found)
}

/// An outcome tells again what its beginning told: twice the memory for nothing.
fn without_what_outcomes_repeat(mut events: Vec<Event>) -> Vec<Event> {
    let mut begun: HashMap<u32, usize> = HashMap::new();
    for place in 0..events.len() {
        let process = events[place].process;
        if events[place].kind == Kind::Invoke {
            begun.insert(process, place);
        } else if let Some(beginning) = begun.remove(&process)
            && let Action::Run { steps, .. } = &mut events[beginning].action
        {
            steps.clear();
            steps.shrink_to_fit();
        }
    }
    events
}

impl Histories {
    fn view(&self, name: &str) -> &[Event] {
        self.views.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_kind(&self, process: u32, kind: &str) -> bool {
        self.kinds.get(&process).is_some_and(|found| found == kind)
    }

    pub(crate) fn committed(&self) -> Vec<Event> {
        self.view("all").to_vec()
    }

    pub(crate) fn uncommitted(&self) -> Vec<Event> {
        let sends = self.view("all").iter().filter_map(sends_alone);
        let mut events: Vec<_> = sends.collect();
        events.extend_from_slice(self.view("uncommitted"));
        events.sort_by_key(|event| event.time);
        events
    }

    /// Without the offsets of damaged batches: of the records there nobody knows, and who polled them before is not asked.
    pub(crate) fn victim(&self, damages: &[Damage]) -> Vec<Event> {
        let is_damaged = |key: &str, offset: i64| {
            damages.iter().any(|damage| {
                damage.key == key && (damage.first_offset..damage.end_offset).contains(&offset)
            })
        };
        let mut events = self.view("victim").to_vec();
        let mut unknown = Vec::new();
        for event in &mut events {
            let Action::Run { steps, .. } = &mut event.action else {
                continue;
            };
            for step in steps.iter_mut() {
                if let Step::Poll(polled) = step {
                    for (key, records) in polled.iter_mut() {
                        records.retain(|(offset, _)| !is_damaged(key, *offset));
                    }
                }
            }
            steps.retain(|step| match step {
                Step::Send {
                    key,
                    value,
                    offset: Some(offset),
                } if is_damaged(key, *offset) => {
                    unknown.push((event.time, key.clone(), *value));
                    false
                }
                _ => true,
            });
        }
        let told = unknown.into_iter().flat_map(|(time, key, value)| {
            let offset = None;
            let steps = vec![Step::Send { key, value, offset }];
            [Kind::Invoke, Kind::Info].map(|kind| Event {
                time,
                process: u32::MAX,
                kind,
                action: Action::Run {
                    transaction: false,
                    steps: steps.clone(),
                },
            })
        });
        events.extend(told);
        events.sort_by_key(|event| event.time);
        events
    }

    /// By kind of client.
    pub(crate) fn figures(&self) -> BTreeMap<String, Figures> {
        let mut all: BTreeMap<String, Figures> = BTreeMap::new();
        for event in self.views.values().flatten() {
            let Action::Run { steps, .. } = &event.action else {
                continue;
            };
            // What is unknown of an operation is told by a process that has no file of its own.
            let kind = self.kinds.get(&event.process).or_else(|| {
                let beside = event.process.checked_sub(1)?;
                self.kinds.get(&beside)
            });
            let Some(kind) = kind.filter(|_| event.kind != Kind::Invoke) else {
                continue;
            };
            let figures = all.entry(kind.clone()).or_default();
            figures.operations += 1;
            figures.failed += usize::from(event.kind == Kind::Fail);
            figures.unknown += usize::from(event.kind == Kind::Info);
            for step in steps {
                match step {
                    Step::Send { .. } => figures.acked += usize::from(event.kind == Kind::Ok),
                    Step::Poll(polled) => {
                        figures.polled += polled.values().map(Vec::len).sum::<usize>();
                    }
                }
            }
        }
        all
    }
}

/// The event for those to whom transactions mean nothing: what was delivered is there, however its transaction ended.
fn sends_alone(event: &Event) -> Option<Event> {
    let Action::Run { transaction, steps } = &event.action else {
        return None;
    };
    let mut event = event.clone();
    let mut steps = steps.clone();
    steps.retain(|step| matches!(step, Step::Send { .. }));
    if *transaction && event.kind != Kind::Invoke {
        let is_delivered = steps.iter().all(|step| {
            matches!(
                step,
                Step::Send {
                    offset: Some(_),
                    ..
                }
            )
        });
        event.kind = if is_delivered { Kind::Ok } else { Kind::Info };
    }
    event.action = Action::Run {
        transaction: false,
        steps,
    };
    Some(event)
}
