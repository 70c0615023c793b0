//! One run of one seed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::client::Client;
use crate::compacted::KeyedProducer;
use crate::consumer::Consumer;
use crate::member::Member;
use crate::nemesis::Nemesis;
use crate::pipeline::{IN_FLIGHT_MAX, Pipeline};
use crate::producer::Producer;
use crate::random::Random;
use crate::recreator::Recreator;
use crate::requests;
use crate::trace::Trace;
use crate::transactions::TransactionalProducer;
use crate::trimmer::Trimmer;
use crate::world::World;

/// The history's numbers of consumers.
pub(crate) const CONSUMERS_FROM: u32 = 100;
/// Those of transactional producers, members of the group, and producers with several requests in flight.
const TRANSACTIONS_FROM: u32 = 200;
const MEMBERS_FROM: u32 = 300;
const PIPELINES_FROM: u32 = 400;
/// Whose sends are in no history.
const KEYED: u32 = 500;
const RECREATOR: u32 = 501;
/// The history's number of the reader at the end.
const READER: u32 = 1000;
/// No run needs so long.
const TIME_MAX: Duration = Duration::from_secs(4 * 3600);

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was broken; `None` if nothing was.
    pub failure: Option<String>,
    /// Everything that happened, as a number.
    pub hash: u64,
    /// How much happened.
    pub events: u64,
    /// Simulated time.
    pub elapsed: Duration,
    /// How often the broker was started.
    pub starts: u32,
    /// How often the disk failed.
    pub disk_failures: u64,
    /// The history as JSON lines.
    pub history: Vec<String>,
    /// What happened, if it was asked for.
    pub trace: Vec<String>,
    /// What the run was like.
    pub plan: String,
}

/// Runs a seed.
pub fn run(seed: u64, keeps_trace: bool) -> Outcome {
    let world = World::new(Random::new(seed), Trace::new(keeps_trace));
    spawn_director(&world);
    // A broker that panics fails its run, and its run only.
    let driven = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drive(&world)));
    if let Err(panic) = driven {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or(panic.downcast_ref::<&str>().copied());
        let words = words.unwrap_or("no words").to_owned();
        world.scheduler.fail(|| format!("panicked: {words}"));
    }
    finish(&world)
}

/// Events shown before the one at which two runs part.
const PARTING_LINES: usize = 6;

/// Runs a seed twice. Where the two runs part, if they do.
pub fn compare(seed: u64) -> Option<String> {
    let (one, other) = (run(seed, true), run(seed, true));
    let mut pairs = one.trace.iter().zip(&other.trace);
    let place = pairs.position(|(one, other)| one != other);
    let shown = |trace: &[String], place: usize| {
        trace[place.saturating_sub(PARTING_LINES)..=place].join("\n    ")
    };
    match place {
        Some(place) => Some(format!(
            "seed {seed} parts at event {place}:\n    {}\nand\n    {}",
            shown(&one.trace, place),
            shown(&other.trace, place)
        )),
        None if one.hash != other.hash || one.history != other.history => Some(format!(
            "seed {seed}: one run is longer, or has another history"
        )),
        None => None,
    }
}

fn drive(world: &Arc<World>) {
    loop {
        world.bury();
        if world.is_over() || world.scheduler.failure().is_some() {
            break;
        }
        if !world.scheduler.step() {
            world
                .model
                .fail(|| "nothing can go on: everybody waits for ever".to_owned());
        }
        if world.scheduler.now() > TIME_MAX {
            world
                .model
                .fail(|| "the run does not come to its end".to_owned());
        }
    }
}

/// Has everything happen in its order: start, topics, load with blows, mending, the last reading.
fn spawn_director(world: &Arc<World>) {
    let director = Arc::clone(world);
    world.spawn(async move {
        let world = director;
        let mut nemesis = Nemesis::new(Arc::clone(&world));
        nemesis.begin().await;
        create_topics(&world).await;
        find_coordinators(&world).await;
        let running = Arc::new(Mutex::new(0));
        for number in 0..world.plan.producers {
            let producer = Producer::new(Arc::clone(&world), number + 1);
            track(&world, &running, producer.run());
        }
        for number in 0..world.plan.consumers {
            let consumer = Consumer::new(Arc::clone(&world), CONSUMERS_FROM + number);
            track(&world, &running, consumer.run());
        }
        spawn_others(&world, &running);
        track(&world, &running, Nemesis::new(Arc::clone(&world)).run());
        while *running.lock() > 0 {
            world.sleep(Duration::from_millis(20)).await;
        }
        nemesis.end().await;
        Consumer::last(Arc::clone(&world), READER).read_all().await;
        world.end();
    });
}

/// Whoever else the plan wants.
fn spawn_others(world: &Arc<World>, running: &Arc<Mutex<u32>>) {
    let loads = world.plan.loads;
    for number in 0..loads.transactional_ids * loads.instances {
        let id = number % loads.transactional_ids;
        let process = TRANSACTIONS_FROM + number;
        let producer = TransactionalProducer::new(Arc::clone(world), process, id);
        track(world, running, producer.run());
    }
    for number in 0..loads.members {
        let member = Member::new(Arc::clone(world), MEMBERS_FROM + number);
        track(world, running, member.run());
    }
    let lanes = u32::try_from(IN_FLIGHT_MAX).unwrap_or(1);
    for number in 0..loads.pipelines {
        let pipeline = Pipeline::new(Arc::clone(world), PIPELINES_FROM + number * lanes);
        track(world, running, pipeline.run());
    }
    if let Some(producer) = KeyedProducer::new(world, KEYED) {
        track(world, running, producer.run());
    }
    if let Some(trimmer) = Trimmer::new(world) {
        track(world, running, trimmer.run());
    }
    if loads.recreates {
        let recreator = Recreator::new(Arc::clone(world), RECREATOR);
        track(world, running, recreator.run());
    }
}

fn track(
    world: &Arc<World>,
    running: &Arc<Mutex<u32>>,
    task: impl Future<Output = ()> + Send + 'static,
) {
    *running.lock() += 1;
    let running = Arc::clone(running);
    world.spawn(async move {
        task.await;
        *running.lock() -= 1;
    });
}

async fn create_topics(world: &Arc<World>) {
    let mut client = Client::new(Arc::clone(world));
    for topic in &world.plan.topics {
        for _attempt in 0..100 {
            // TOPIC_ALREADY_EXISTS: an attempt before was heard, though its answer was not.
            let answer = client
                .call(&requests::create(topic), requests::CREATE)
                .await;
            if let Ok(answer) = answer
                && [0, 36].contains(&answer.topics[0].error_code)
            {
                break;
            }
            world.sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn find_coordinators(world: &Arc<World>) {
    let mut client = Client::new(Arc::clone(world));
    for key_type in [0, 1] {
        for _attempt in 0..100 {
            let request = requests::find_coordinator(key_type);
            let answer = client.call(&request, requests::FIND_COORDINATOR).await;
            if let Ok(answer) = answer
                && answer.coordinators.iter().all(|told| told.error_code == 0)
            {
                break;
            }
            world.sleep(Duration::from_millis(50)).await;
        }
    }
}

fn finish(world: &Arc<World>) -> Outcome {
    let events = world.recorder.take();
    let mut failure = world.scheduler.failure();
    if failure.is_none() {
        let options = history::Options { is_complete: true };
        failure = match history::check(&events, options) {
            Ok(report) if report.is_clean() => None,
            Ok(report) => Some(report.to_string()),
            Err(error) => Some(format!("the run wrote no history: {error}")),
        };
    }
    let (hash, count, trace) = world
        .scheduler
        .with_trace(|trace| (trace.hash(), trace.events(), trace.take_lines()));
    let outcome = Outcome {
        failure,
        hash,
        events: count,
        elapsed: world.scheduler.now(),
        starts: world.starts(),
        disk_failures: world.machine.failed(),
        history: events.iter().map(history::Event::to_line).collect(),
        trace,
        plan: format!("{:?}", world.plan),
    };
    world.tear_down();
    outcome
}
