//! The history of a run, as the checker reads it.

use history::{Action, Event, Kind, Step};
use parking_lot::Mutex;

/// Events in their order, which is their time.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub(crate) fn note(&self, process: u32, kind: Kind, action: Action) {
        let mut events = self.0.lock();
        let time = events.len() as u64;
        events.push(Event {
            time,
            process,
            kind,
            action,
        });
    }

    pub(crate) fn run(&self, process: u32, kind: Kind, steps: Vec<Step>) {
        let transaction = false;
        self.note(process, kind, Action::Run { transaction, steps });
    }

    pub(crate) fn transaction(&self, process: u32, kind: Kind, steps: Vec<Step>) {
        let transaction = true;
        self.note(process, kind, Action::Run { transaction, steps });
    }

    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock())
    }
}
