//! `cargo xtask kills`: the release binary under the load of idempotent producers, killed with SIGKILL at random moments and
//! started again at once, over and over. In the end every acknowledged record is there, once, and in its producer's order.

use crate::chaos::broker::{Broker, Launch};
use crate::chaos::clients::Clients;
use crate::chaos::ledger::Ledger;
use crate::chaos::{self, histories, restarts, verdict};
use crate::clients::Counts;
use crate::random::Random;
use crate::{interrupt, process};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

/// After a restart the broker runs for a moment of this span.
const RUN_MS: std::ops::RangeInclusive<u64> = 200..=1400;

/// Cycles between two lines that tell how it goes.
const TOLD_EACH: u32 = 25;

/// Of the run within `cargo xtask test`.
const SHORT_CYCLES: u32 = 10;

#[derive(clap::Args, Debug)]
pub(crate) struct KillsArguments {
    /// How often the broker is killed
    #[arg(long, default_value_t = 1000)]
    cycles: u32,
    /// Decides when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Idempotent producers
    #[arg(long, default_value_t = 4)]
    producers: u32,
    /// Records a second of each of them
    #[arg(long, default_value_t = 250)]
    rate: u32,
}

pub(crate) fn run(arguments: &KillsArguments) -> Result<()> {
    interrupt::note_signals()?;
    let folder = chaos::empty_folder("run-kills")?;
    let outcome = run_in(&folder, arguments);
    if outcome.is_err() {
        println!("what is left of the run is in {}", folder.display());
    }
    outcome
}

/// Within `cargo xtask test`.
pub(crate) fn run_short() -> Result<Counts> {
    let arguments = KillsArguments {
        cycles: SHORT_CYCLES,
        seed: 1,
        producers: 4,
        rate: 250,
    };
    run(&arguments).map(|()| Counts::ONE)
}

fn run_in(folder: &Path, arguments: &KillsArguments) -> Result<()> {
    let port = process::free_port()?;
    let mut broker = Broker::start(Launch {
        folder: folder.to_path_buf(),
        data_dir: folder.join("data"),
        port,
        advertised: port,
        environment: Vec::new(),
    })?;
    let mut clients = Clients::new(port, folder, arguments.seed)?;
    clients.run("create", &[])?;
    let (producers, rate) = (arguments.producers.to_string(), arguments.rate.to_string());
    let load = [
        "--kind",
        "idempotent",
        "--clients",
        &producers,
        "--rate",
        &rate,
    ];
    clients.start("produce", &load)?;
    kill_and_restart(&mut broker, &mut clients, arguments)?;
    clients.finish("produce")?;
    clients.run("drain", &["--kind", "idempotent"])?;
    let restarts = restarts::shown(broker.restarts());
    let launch = broker.stop()?;
    let recorded = histories::read(&clients.histories())?;
    let events = recorded.committed();
    let ledger = Ledger::of(&events, |process| recorded.is_kind(process, "drain"));
    println!("{} kills: {ledger}\n{restarts}", arguments.cycles);
    verdict::history("committed", &events, folder, arguments.seed)?;
    ensure!(ledger.is_clean(), "not everything is there once, in order");
    verdict::data_directory(&launch.data_dir, &BTreeSet::new(), &[])
}

fn kill_and_restart(
    broker: &mut Broker,
    clients: &mut Clients,
    arguments: &KillsArguments,
) -> Result<()> {
    let begun = Instant::now();
    let mut random = Random::new(arguments.seed);
    for cycle in 1..=arguments.cycles {
        std::thread::sleep(random.span_ms(RUN_MS));
        interrupt::check()?;
        clients.still_run()?;
        broker.still_runs()?;
        broker.kill()?;
        broker.restart()?;
        if cycle % TOLD_EACH == 0 {
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "{seconds:>5.0} s: {cycle} kills, {}",
                restarts::shown(broker.restarts())
            );
        }
    }
    Ok(())
}
