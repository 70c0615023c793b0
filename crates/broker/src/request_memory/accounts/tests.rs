use proptest::prelude::*;

use super::*;

const MIB: usize = 1024 * 1024;
const LIMIT: usize = 16 * MIB;
const ROOM: usize = 64 * 1024;

fn at(milliseconds: u64) -> Instant {
    Instant::from_origin(Duration::from_millis(milliseconds))
}

fn with_open(count: Id) -> Accounts {
    let mut accounts = Accounts::new(LIMIT);
    for id in 0..count {
        accounts.open(id, at(0));
    }
    accounts
}

/// What must hold at any time.
fn check(accounts: &Accounts) {
    let held: usize = accounts.accounts.values().map(|account| account.held).sum();
    assert_eq!(accounts.used, held);
    let overdrawn = accounts.overdrawn.map_or(0, |(id, _)| accounts.held(id));
    assert!(
        accounts.used - overdrawn <= LIMIT,
        "{} beside {overdrawn}",
        accounts.used
    );
    let waiting = accounts.accounts.values().filter(|it| it.waits.is_some());
    assert_eq!(
        waiting.count(),
        accounts.small.len() + accounts.large.len(),
        "who waits is in one queue"
    );
}

#[test]
fn small_requests_have_room_when_large_ones_have_all_they_may() {
    let mut accounts = with_open(200);
    for liar in 0..3 {
        assert!(accounts.ask(liar, 4 * MIB, at(0)));
    }
    assert!(
        accounts.ask(3, 100 * MIB, at(0)),
        "one may go beyond the limit"
    );
    assert!(!accounts.ask(4, MIB, at(0)), "and no other");
    for small in 100..164 {
        assert!(accounts.ask(small, ROOM, at(0)));
    }
    assert!(
        !accounts.ask(164, ROOM, at(0)),
        "also beside it the limit holds"
    );
    check(&accounts);
    accounts.close(3);
    accounts.leave_queue(164);
    assert!(accounts.ask(4, MIB, at(0)), "the next has its turn");
    check(&accounts);
}

#[test]
fn who_is_overdrawn_finishes_and_then_waits_behind_others() {
    let mut accounts = with_open(3);
    assert!(accounts.ask(0, 12 * MIB, at(0)));
    assert!(accounts.ask(1, 8 * MIB, at(0)), "overdrawn");
    assert!(!accounts.ask(2, 2 * MIB, at(0)));
    assert!(accounts.ask(1, 50 * MIB, at(0)), "it may finish");
    accounts.hold(1, 49 * MIB);
    assert!(!accounts.ask(2, 2 * MIB, at(0)), "it has not finished yet");
    accounts.hold(1, 0);
    assert!(!accounts.ask(1, 8 * MIB, at(0)), "another waits longer");
    assert!(accounts.ask(2, 2 * MIB, at(0)));
    check(&accounts);
}

#[test]
fn what_is_overdrawn_leaves_small_requests_their_part_until_it_fits_beside_it() {
    let mut accounts = with_open(3);
    assert!(accounts.ask(0, 11 * MIB, at(0)));
    assert!(accounts.ask(1, 5 * MIB, at(0)), "overdrawn");
    accounts.hold(1, 5 * MIB);
    assert!(
        accounts.ask(2, ROOM, at(0)),
        "the limit is reached, but not by those that count against it"
    );
    accounts.hold(0, 7 * MIB);
    assert!(
        accounts.overdrawn.is_some(),
        "with the small one it is more"
    );
    accounts.hold(2, 0);
    assert!(accounts.overdrawn.is_none(), "now it fits");
    check(&accounts);
}

#[test]
fn who_wasted_the_most_for_long_enough_gives_way_and_no_more_than_needed() {
    let mut accounts = with_open(6);
    for holder in 0..3 {
        assert!(accounts.ask(holder, 4 * MIB, at(0)));
    }
    assert!(accounts.ask(3, MIB, at(0)), "overdrawn");
    assert!(!accounts.ask(4, MIB, at(0)));
    accounts.touch(1, at(3_000));
    assert!(
        accounts.press(4, MIB, at(4_999)).is_empty(),
        "nobody is old"
    );
    assert!(
        accounts.press(5, MIB, at(60_000)).is_empty(),
        "it does not wait"
    );
    assert_eq!(accounts.press(4, MIB, at(6_000)), [0]);
    assert!(accounts.must_give_way(0) && !accounts.must_give_way(1));
    accounts.close(0);
    assert!(accounts.ask(4, MIB, at(0)));
    check(&accounts);
}

#[test]
fn who_finishes_something_in_time_need_not_give_way() {
    let mut accounts = with_open(3);
    assert!(accounts.ask(0, 12 * MIB, at(0)));
    assert!(accounts.ask(1, MIB, at(0)), "overdrawn");
    assert!(!accounts.ask(2, MIB, at(0)));
    assert_eq!(accounts.press(2, MIB, at(5_000)), [0]);
    accounts.touch(0, at(5_001));
    assert!(!accounts.must_give_way(0));
    assert_eq!(accounts.press(2, MIB, at(5_100)), [1]);
    assert!(accounts.must_give_way(1));
}

#[test]
fn who_waits_itself_need_not_give_way_and_has_all_its_time_once_it_is_granted() {
    let mut accounts = with_open(4);
    assert!(accounts.ask(0, 12 * MIB, at(0)));
    assert!(accounts.ask(1, MIB, at(0)), "overdrawn");
    assert!(accounts.ask(2, ROOM, at(0)));
    assert!(!accounts.ask(2, MIB, at(0)) && !accounts.ask(3, MIB, at(0)));
    assert_eq!(accounts.press(2, 20 * MIB, at(60_000)), [0, 1]);
    accounts.close(1);
    assert!(accounts.ask(2, MIB, at(60_000)), "overdrawn");
    assert!(accounts.press(3, 20 * MIB, at(64_000)).is_empty());
    assert_eq!(accounts.press(3, 20 * MIB, at(65_000)), [2]);
}

#[test]
fn who_leaves_a_queue_lets_the_next_one_be_first() {
    let mut accounts = with_open(4);
    assert!(accounts.ask(0, 12 * MIB, at(0)));
    assert!(accounts.ask(1, MIB, at(0)), "overdrawn");
    assert!(!accounts.ask(2, MIB, at(0)) && !accounts.ask(3, MIB, at(0)));
    assert_eq!(accounts.first(), [None, Some(2)]);
    accounts.leave_queue(2);
    assert_eq!(accounts.first(), [None, Some(3)]);
    accounts.close(3);
    assert_eq!(accounts.first(), [None, None]);
    check(&accounts);
}

/// One client of the model.
#[derive(Clone, Debug)]
struct Client {
    /// The length of its frames.
    frame: usize,
    /// Bytes it sends in a tick.
    pace: usize,
    /// After how many bytes it stops for ever; a liar.
    stops: Option<usize>,
    /// Ticks a request runs.
    runs: u64,
}

fn honest() -> impl Strategy<Value = Client> {
    // At this pace a frame takes 2 seconds.
    (1_usize..12 * MIB, 0_u64..10).prop_map(|(frame, runs)| Client {
        frame,
        pace: frame / 20 + 1,
        stops: None,
        runs,
    })
}

fn liar() -> impl Strategy<Value = Client> {
    (
        1_usize..100 * MIB,
        1_usize..8 * MIB,
        any::<prop::sample::Index>(),
    )
        .prop_map(|(frame, pace, stops)| Client {
            frame,
            pace,
            stops: Some(stops.index(frame)),
            runs: 0,
        })
}

/// A client and how far it is.
struct Playing {
    client: Client,
    arrived: usize,
    runs_until: Option<u64>,
    served: u32,
}

const TICK_MS: u64 = 100;

/// One tick of one client, as a connection does it: memory is asked for ahead of the bytes and doubles with them.
fn play(accounts: &mut Accounts, id: Id, playing: &mut Playing, now: u64) {
    let client = &playing.client;
    if let Some(until) = playing.runs_until {
        if now >= until {
            accounts.hold(id, 0);
            accounts.touch(id, at(now));
            playing.runs_until = None;
            playing.arrived = 0;
            playing.served += 1;
        }
        return;
    }
    let sends = client.stops.unwrap_or(client.frame);
    let mut left = client.pace.min(sends - playing.arrived);
    if playing.arrived == 0 {
        accounts.touch(id, at(now));
    }
    while left > 0 {
        let room = (client.frame - playing.arrived).min(playing.arrived.max(ROOM));
        let want = accounts
            .held(id)
            .max(playing.arrived + room.min(left.max(ROOM)));
        if !accounts.ask(id, want, at(now)) {
            for victim in accounts.press(id, want, at(now)) {
                assert_ne!(victim, id);
            }
            return;
        }
        let step = left.min(want - playing.arrived);
        playing.arrived += step;
        left -= step;
    }
    if playing.arrived == client.frame {
        playing.runs_until = Some(now + client.runs * TICK_MS);
    }
}

/// A liar that was cut comes back at once, and so does an honest client, which has to begin its frame again.
fn cut(accounts: &mut Accounts, id: Id, playing: &mut Playing, now: u64) {
    accounts.close(id);
    accounts.open(id, at(now));
    playing.arrived = 0;
    playing.runs_until = None;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However many liars hold half frames and come back as soon as they are cut: every honest client is served.
    #[test]
    fn every_honest_client_is_served_among_liars(
        honest in prop::collection::vec(honest(), 1..8),
        liars in prop::collection::vec(liar(), 0..20),
    ) {
        let honest_count = honest.len();
        let clients = honest.into_iter().chain(liars);
        let mut playing: Vec<_> = clients
            .map(|client| Playing { client, arrived: 0, runs_until: None, served: 0 })
            .collect();
        let mut accounts = with_open(playing.len() as Id);
        let mut now = 0;
        while playing[..honest_count].iter().any(|it| it.served == 0) {
            for (id, playing) in (0..).zip(&mut playing) {
                if accounts.must_give_way(id) {
                    cut(&mut accounts, id, playing, now);
                }
                play(&mut accounts, id, playing, now);
                check(&accounts);
            }
            now += TICK_MS;
            let waiting = playing[..honest_count].iter().filter(|it| it.served == 0).count();
            prop_assert!(now < 1_800_000, "{} of {} were never served", waiting, honest_count);
        }
    }
}
