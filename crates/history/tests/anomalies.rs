//! Each anomaly in a small history that shows it, beside one that does not.

use std::collections::BTreeMap;

use history::{Action, Anomaly, Event, Kind, MalformedHistory, Options, ReadError, Step, check};

/// A history under construction; each event is one unit of time after the one before.
#[derive(Default)]
struct History {
    events: Vec<Event>,
}

fn send(value: u64) -> Step {
    send_to("a", value, None)
}

fn sent(value: u64, offset: i64) -> Step {
    send_to("a", value, Some(offset))
}

fn send_to(key: &str, value: u64, offset: Option<i64>) -> Step {
    Step::Send {
        key: key.to_owned(),
        value,
        offset,
    }
}

fn polled(records: &[(i64, u64)]) -> Step {
    polled_from(&[("a", records)])
}

fn polled_from(keys: &[(&str, &[(i64, u64)])]) -> Step {
    let records = keys.iter();
    Step::Poll(
        records
            .map(|(key, records)| ((*key).to_owned(), records.to_vec()))
            .collect(),
    )
}

impl History {
    fn event(mut self, process: u32, kind: Kind, action: Action) -> Self {
        let time = self.events.len() as u64;
        self.events.push(Event {
            time,
            process,
            kind,
            action,
        });
        self
    }

    fn begin(self, process: u32, steps: &[Step]) -> Self {
        self.event(process, Kind::Invoke, run(false, steps))
    }

    fn end(self, process: u32, kind: Kind, steps: &[Step]) -> Self {
        self.event(process, kind, run(false, steps))
    }

    fn done(self, process: u32, kind: Kind, steps: &[Step]) -> Self {
        self.begin(process, steps).end(process, kind, steps)
    }

    fn ok(self, process: u32, steps: &[Step]) -> Self {
        self.done(process, Kind::Ok, steps)
    }

    fn transaction(self, process: u32, kind: Kind, steps: &[Step]) -> Self {
        self.event(process, Kind::Invoke, run(true, steps))
            .event(process, kind, run(true, steps))
    }

    fn assign(self, process: u32) -> Self {
        let action = || Action::Assign {
            keys: vec!["a".to_owned()],
        };
        self.event(process, Kind::Invoke, action())
            .event(process, Kind::Ok, action())
    }

    fn subscribe(self, process: u32) -> Self {
        let action = || Action::Subscribe {
            keys: vec!["a".to_owned()],
        };
        self.event(process, Kind::Invoke, action())
            .event(process, Kind::Ok, action())
    }

    fn found(&self, options: Options) -> BTreeMap<Anomaly, usize> {
        let report = check(&self.events, options).expect("a history");
        let counts = report.findings().iter();
        counts
            .map(|(anomaly, finding)| (*anomaly, finding.count))
            .collect()
    }

    #[track_caller]
    fn shows(&self, anomaly: Anomaly) {
        let found = self.found(Options::default());
        assert_eq!(found, BTreeMap::from([(anomaly, 1)]));
        let report = check(&self.events, Options::default()).expect("a history");
        assert_eq!(report.is_clean(), !anomaly.is_error());
    }

    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.found(Options::default()), BTreeMap::new());
    }
}

fn run(transaction: bool, steps: &[Step]) -> Action {
    Action::Run {
        transaction,
        steps: steps.to_vec(),
    }
}

#[test]
fn two_values_at_one_offset() {
    let clean = History::default().ok(1, &[sent(1, 0)]).ok(2, &[sent(2, 1)]);
    clean.ok(3, &[polled(&[(0, 1), (1, 2)])]).is_clean();
    let shown = History::default()
        .ok(1, &[sent(1, 0)])
        .done(2, Kind::Info, &[send(2)])
        .ok(3, &[polled(&[(0, 1)])])
        .ok(4, &[polled(&[(0, 2)])]);
    shown.shows(Anomaly::InconsistentOffset);
}

#[test]
fn one_value_at_two_offsets() {
    let shown = History::default()
        .done(1, Kind::Info, &[send(1)])
        .ok(2, &[polled(&[(0, 1), (1, 1)])]);
    shown.shows(Anomaly::Duplicate);
    let again = History::default()
        .done(1, Kind::Info, &[send(1)])
        .ok(2, &[polled(&[(0, 1)])])
        .ok(3, &[polled(&[(0, 1)])]);
    again.is_clean();
}

#[test]
fn an_acknowledged_record_that_readers_passed_is_lost() {
    let sends = || History::default().ok(1, &[sent(1, 0)]).ok(1, &[sent(2, 1)]);
    sends()
        .ok(2, &[polled(&[(1, 2)])])
        .shows(Anomaly::LostWrite);
    sends().ok(2, &[polled(&[(0, 1)])]).is_clean();
    let unknown = History::default()
        .done(1, Kind::Info, &[send(1)])
        .ok(1, &[sent(2, 1)])
        .ok(2, &[polled(&[(1, 2)])]);
    unknown.is_clean();
}

#[test]
fn an_acknowledged_record_that_is_not_there_at_the_end_is_unseen() {
    let history = History::default().ok(1, &[sent(1, 0)]);
    history.is_clean();
    let complete = Options { is_complete: true };
    assert_eq!(
        history.found(complete),
        BTreeMap::from([(Anomaly::Unseen, 1)])
    );
    let seen = history.ok(2, &[polled(&[(0, 1)])]);
    assert_eq!(seen.found(complete), BTreeMap::new());
}

#[test]
fn a_record_that_nobody_sent() {
    History::default()
        .ok(2, &[polled(&[(0, 9)])])
        .shows(Anomaly::NeverSent);
}

#[test]
fn a_record_of_what_did_not_happen_is_an_aborted_read() {
    let read = |kind| {
        History::default()
            .transaction(1, kind, &[sent(1, 0)])
            .ok(2, &[polled(&[(0, 1)])])
    };
    read(Kind::Fail).shows(Anomaly::AbortedRead);
    read(Kind::Ok).is_clean();
    read(Kind::Info).is_clean();
}

#[test]
fn a_transaction_does_not_see_itself() {
    let history = |transaction| {
        let steps = [sent(1, 0), polled(&[(0, 1)])];
        let run = || run(transaction, &steps);
        History::default()
            .event(1, Kind::Invoke, run())
            .event(1, Kind::Ok, run())
    };
    history(true).shows(Anomaly::PrecommittedRead);
    history(false).is_clean();
}

fn three() -> History {
    (1..=3).fold(History::default(), |history, value| {
        history.ok(1, &[sent(value, value as i64 - 1)])
    })
}

#[test]
fn a_later_poll_leaves_nothing_out() {
    let polls = |history: History| {
        history
            .ok(2, &[polled(&[(0, 1)])])
            .ok(2, &[polled(&[(2, 3)])])
            .ok(3, &[polled(&[(1, 2)])])
    };
    polls(three().assign(2)).shows(Anomaly::PollSkip);
    polls(three().subscribe(2)).is_clean();
    // Between the two polls the client chose anew.
    let chosen = three()
        .ok(2, &[polled(&[(0, 1)])])
        .assign(2)
        .ok(2, &[polled(&[(2, 3)])])
        .ok(3, &[polled(&[(1, 2)])]);
    chosen.is_clean();
    // What lies between was aborted: there is nothing to see.
    let aborted = History::default()
        .ok(1, &[sent(1, 0)])
        .transaction(1, Kind::Fail, &[sent(2, 1)])
        .ok(1, &[sent(3, 3)])
        .ok(2, &[polled(&[(0, 1)])])
        .ok(2, &[polled(&[(3, 3)])]);
    aborted.is_clean();
}

#[test]
fn a_later_poll_does_not_go_back() {
    let polls = |history: History| {
        history
            .ok(2, &[polled(&[(0, 1), (1, 2)])])
            .ok(2, &[polled(&[(1, 2), (2, 3)])])
    };
    polls(three().assign(2)).shows(Anomaly::NonmonotonicPoll);
    polls(three().subscribe(2)).is_clean();
    let crashed = three()
        .ok(2, &[polled(&[(0, 1), (1, 2)])])
        .event(2, Kind::Invoke, Action::Crash)
        .event(2, Kind::Ok, Action::Crash)
        .ok(2, &[polled(&[(0, 1), (1, 2), (2, 3)])]);
    crashed.is_clean();
}

#[test]
fn one_poll_leaves_nothing_out_and_does_not_go_back() {
    three()
        .subscribe(2)
        .ok(3, &[polled(&[(1, 2)])])
        .ok(2, &[polled(&[(0, 1), (2, 3)])])
        .shows(Anomaly::InternalPollSkip);
    three()
        .subscribe(2)
        .ok(2, &[polled(&[(1, 2), (0, 1), (1, 2)])])
        .shows(Anomaly::InternalNonmonotonicPoll);
    three()
        .subscribe(2)
        .ok(2, &[polled(&[(0, 1), (1, 2), (2, 3)])])
        .is_clean();
}

#[test]
fn sends_of_one_client_lie_in_their_order() {
    // The offset of the first was never told before the second began, so only its own client can tell.
    let shown = History::default()
        .done(1, Kind::Info, &[sent(1, 5)])
        .ok(1, &[sent(2, 4)]);
    shown.shows(Anomaly::NonmonotonicSend);
    History::default()
        .ok(1, &[sent(1, 5), sent(2, 4)])
        .shows(Anomaly::InternalNonmonotonicSend);
    History::default()
        .ok(1, &[sent(1, 4), sent(2, 6)])
        .is_clean();
}

#[test]
fn what_begins_after_an_offset_is_known_lies_behind_it() {
    let shown = History::default()
        .ok(1, &[sent(1, 5)])
        .ok(2, &[sent(2, 4)])
        .ok(3, &[polled(&[(4, 2)])]);
    shown.shows(Anomaly::RealTimeOrder);
    let concurrent = History::default()
        .begin(2, &[send(2)])
        .ok(1, &[sent(1, 5)])
        .end(2, Kind::Ok, &[sent(2, 4)]);
    concurrent.is_clean();
    let seen = History::default()
        .done(1, Kind::Info, &[send(1)])
        .ok(3, &[polled(&[(5, 1)])])
        .ok(2, &[sent(2, 4)])
        .ok(4, &[polled(&[(4, 2)])]);
    seen.shows(Anomaly::RealTimeOrder);
}

#[test]
fn transactions_do_not_see_each_other_in_a_circle() {
    let history = |second_sees: &[(i64, u64)]| {
        let first = [send_to("a", 1, Some(0)), polled_from(&[("b", &[(0, 1)])])];
        let second = [send_to("b", 1, Some(0)), polled_from(&[("a", second_sees)])];
        History::default()
            .event(1, Kind::Invoke, run(true, &first))
            .event(2, Kind::Invoke, run(true, &second))
            .event(1, Kind::Ok, run(true, &first))
            .event(2, Kind::Ok, run(true, &second))
    };
    let found = history(&[(0, 1)]).found(Options::default());
    assert_eq!(found.get(&Anomaly::Cycle), Some(&1));
    history(&[]).is_clean();
}

#[test]
fn interleaved_writes_and_partial_views_are_counted_and_allowed() {
    let first = [send_to("a", 1, Some(0)), send_to("b", 1, Some(1))];
    let second = [send_to("a", 2, Some(1)), send_to("b", 2, Some(0))];
    let writes = History::default()
        .event(1, Kind::Invoke, run(true, &first))
        .event(2, Kind::Invoke, run(true, &second))
        .event(1, Kind::Ok, run(true, &first))
        .event(2, Kind::Ok, run(true, &second));
    writes.shows(Anomaly::WriteCycle);

    let before = [send_to("b", 1, Some(0))];
    let writer = [send_to("a", 1, Some(0)), send_to("b", 2, Some(1))];
    let reader = [polled_from(&[("a", &[(0, 1)]), ("b", &[(0, 1)])])];
    let skew = History::default()
        .transaction(1, Kind::Ok, &before)
        .event(2, Kind::Invoke, run(true, &writer))
        .event(3, Kind::Invoke, run(true, &reader))
        .event(2, Kind::Ok, run(true, &writer))
        .event(3, Kind::Ok, run(true, &reader));
    skew.shows(Anomaly::ReadSkew);
}

#[test]
fn a_history_survives_its_text() {
    let history = three()
        .assign(2)
        .subscribe(3)
        .transaction(4, Kind::Info, &[send(9), polled(&[(0, 1)])])
        .event(3, Kind::Invoke, Action::SeekToBeginning);
    let lines: Vec<_> = history.events.iter().map(Event::to_line).collect();
    let read = history::read(lines.join("\n").as_bytes()).unwrap();
    assert_eq!(read, history.events);
    assert_eq!(
        lines[1],
        r#"{"time":1,"process":1,"type":"ok","action":"run","steps":[{"send":{"key":"a","value":1,"offset":0}}]}"#
    );
}

#[test]
fn what_is_no_history_is_refused() {
    let refused = |history: History| check(&history.events, Options::default()).unwrap_err();
    let twice = refused(three().ok(5, &[sent(1, 9)]));
    assert!(matches!(twice, MalformedHistory::SentTwice { .. }));
    let overlapping = refused(three().begin(1, &[]).begin(1, &[]));
    assert!(matches!(overlapping, MalformedHistory::Overlapping { .. }));
    let not_begun = refused(three().end(1, Kind::Ok, &[]));
    assert!(matches!(not_begun, MalformedHistory::NotBegun { .. }));
    let mut back = three();
    back.events[2].time = 0;
    assert!(matches!(
        refused(back),
        MalformedHistory::TimeGoesBack { .. }
    ));
    let line = history::read("\n{\"time\":1}\n".as_bytes()).unwrap_err();
    assert!(matches!(line, ReadError::Line { line: 2, .. }));
    let long = vec![b'x'; usize::try_from(history::LINE_BYTES_MAX).unwrap() + 2];
    let long = history::read(long.as_slice()).unwrap_err();
    assert!(matches!(long, ReadError::LongLine { line: 1 }));
}

#[test]
fn a_report_says_what_was_found() {
    let history = History::default().ok(1, &[sent(1, 5)]).ok(2, &[sent(2, 4)]);
    let report = check(&history.events, Options::default()).unwrap();
    let text = report.to_string();
    assert!(text.contains("real-time-order: 1"), "{text}");
    assert!(text.contains("offset 5 was known"), "{text}");
    assert!(text.ends_with("promises were broken"), "{text}");
}
