//! `cargo xtask chaos`: the release binary with real clients, while it is killed, stopped, its disk filled, its files flipped, its
//! clock turned and its connections cut. In the end everything is read and compared with what the clients recorded.
//!
//! Invariant: whatever happens, processes and mounts that a run began end with it. What is left is its folder.

pub(crate) mod broker;
pub(crate) mod clients;
mod clock;
mod disk;
mod flip;
pub(crate) mod histories;
pub(crate) mod ledger;
mod nemesis;
mod proxy;
pub(crate) mod restarts;
pub(crate) mod verdict;

use crate::clients::Counts;
use crate::{interrupt, process, workspace};
use anyhow::{Context, Result, ensure};
use broker::{Broker, Launch};
use clients::Clients;
use disk::Disk;
use ledger::Ledger;
use nemesis::{Fault, Nemesis};
use proxy::Proxy;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two lines that tell how it goes.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// The nemesis does what is due so often.
const STEP_INTERVAL: Duration = Duration::from_millis(20);

/// Room for a short run, and for each minute: the clients write about 25 MiB in one.
const DISK_MEBIBYTES: u64 = 512;
const DISK_MEBIBYTES_PER_MINUTE: u64 = 50;

#[derive(clap::Args, Debug)]
pub(crate) struct ChaosArguments {
    /// How long things are broken; what follows takes some more
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Decides what is broken when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is broken; all of it needs root, for a file system that can be filled
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Fault::ALL)]
    faults: Vec<Fault>,
}

pub(crate) fn run(arguments: &ChaosArguments) -> Result<()> {
    let length = Duration::try_from_secs_f64(arguments.minutes * 60.0).context("the minutes")?;
    run_for(length, arguments.seed, &arguments.faults).map(drop)
}

/// Faults that need no root.
pub(crate) fn run_short() -> Result<Counts> {
    let faults = [Fault::Kill, Fault::Stop, Fault::Flip, Fault::Cut];
    run_for(Duration::from_secs(60), 1, &faults)
}

fn run_for(length: Duration, seed: u64, faults: &[Fault]) -> Result<Counts> {
    interrupt::note_signals()?;
    let folder = empty_folder("run-chaos")?;
    let outcome = run_in(&folder, length, seed, faults);
    if outcome.is_err() {
        println!("{}", where_to_look(&folder));
    }
    outcome.map(|()| Counts::ONE)
}

/// A folder for a run; the last run's content is gone.
pub(crate) fn empty_folder(name: &str) -> Result<PathBuf> {
    let folder = workspace::installed(name);
    if folder.exists() {
        // A mount that a killed run has left.
        drop(process::output(
            std::process::Command::new("umount").arg(folder.join("disk")),
        ));
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn where_to_look(folder: &Path) -> String {
    let shown = folder.display();
    format!(
        "\nwhat is left of the run is in {shown}:
  nemesis.log      what was broken when, by the clock of the histories
  broker.log       what the broker said
  client-*.log     what clients met
  histories/       what they recorded, one file per process
  committed.jsonl  that joined, if it came so far, as uncommitted.jsonl and victim.jsonl: cargo xtask history --complete FILE
  data, or in disk.img: mount -o loop,ro {shown}/disk.img /mnt"
    )
}

fn run_in(folder: &Path, length: Duration, seed: u64, faults: &[Fault]) -> Result<()> {
    let (mut nemesis, mut clients) = begin(folder, length, seed, faults)?;
    println!(
        "seed {seed}, {:.1} minutes, faults {}",
        length.as_secs_f64() / 60.0,
        faults
            .iter()
            .map(|fault| fault.name())
            .collect::<Vec<_>>()
            .join(",")
    );
    break_things(&mut nemesis, &mut clients, length)?;
    nemesis.heal()?;
    println!("all faults are mended; clients come to the end");
    // Transactions first, and what consumes last: the end of each log has to be known to whom it is given.
    for name in [
        "java-produce",
        "transact",
        "produce",
        "transform",
        "groups",
        "read",
        "java-read",
        "commit",
        "reread",
    ] {
        clients
            .finish(name)
            .with_context(|| format!("the end of `{name}`"))?;
        nemesis.broker()?.still_runs()?;
    }
    print!("{}", clients.run("drain", &[])?);
    judge(&mut nemesis, &clients, seed)
}

fn begin(
    folder: &Path,
    length: Duration,
    seed: u64,
    faults: &[Fault],
) -> Result<(Nemesis, Clients)> {
    let disk = if faults.contains(&Fault::Full) {
        let minutes = length.as_secs().div_ceil(60);
        let disk = Disk::mount(folder, DISK_MEBIBYTES + DISK_MEBIBYTES_PER_MINUTE * minutes)
            .context("a full disk needs a file system of its own; leave `full` out of --faults")?;
        println!("the data is on a file system of its own: {}", disk.shown());
        Some(disk)
    } else {
        None
    };
    let environment = if faults.contains(&Fault::Clock) {
        clock::environment(folder)?
    } else {
        Vec::new()
    };
    let port = process::free_port()?;
    let proxy = Proxy::start(port)?;
    let launch = Launch {
        folder: folder.to_path_buf(),
        data_dir: disk.as_ref().map_or(folder, Disk::folder).join("data"),
        port,
        advertised: proxy.port(),
        environment,
    };
    let mut clients = Clients::new(proxy.port(), folder, seed)?;
    let broker = Broker::start(launch)?;
    let nemesis = Nemesis::new(broker, proxy, disk, faults.to_vec(), seed)?;
    clients.run("create", &[])?;
    for name in [
        "produce",
        "transact",
        "transform",
        "read",
        "groups",
        "commit",
        "reread",
    ] {
        clients.start(name, &[])?;
    }
    clients.start_java("java-produce", "produce")?;
    clients.start_java("java-read", "read")?;
    Ok((nemesis, clients))
}

fn break_things(nemesis: &mut Nemesis, clients: &mut Clients, length: Duration) -> Result<()> {
    let begun = Instant::now();
    let mut told = begun;
    while begun.elapsed() < length {
        interrupt::check()?;
        clients.still_run()?;
        nemesis.step()?;
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            let faults: usize = nemesis.counts().values().sum();
            println!(
                "{:>5.0} s: {faults} faults, {} restarts, now {}; {} of histories",
                begun.elapsed().as_secs_f64(),
                nemesis.broker()?.restarts().len(),
                nemesis.shown(),
                megabytes(&clients.histories())?
            );
        }
        std::thread::sleep(STEP_INTERVAL);
    }
    Ok(())
}

/// How far clients got: it stands still while nothing is answered.
fn megabytes(folder: &Path) -> Result<String> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(format!(
        "{}.{:02} MB",
        bytes / 1_000_000,
        bytes / 10_000 % 100
    ))
}

fn judge(nemesis: &mut Nemesis, clients: &Clients, seed: u64) -> Result<()> {
    let restarts = restarts::shown(nemesis.broker()?.restarts());
    let launch = nemesis.stop_broker()?;
    let recorded = histories::read(&clients.histories())?;
    println!(
        "\n{:<16}{:>10}{:>8}{:>9}{:>10}{:>10}",
        "client", "operations", "failed", "unknown", "acked", "polled"
    );
    for (kind, figures) in recorded.figures() {
        let histories::Figures {
            operations,
            failed,
            unknown,
            acked,
            polled,
        } = figures;
        println!("{kind:<16}{operations:>10}{failed:>8}{unknown:>9}{acked:>10}{polled:>10}");
    }
    let faults: Vec<_> = nemesis
        .counts()
        .iter()
        .map(|(fault, count)| format!("{} {count}", fault.name()))
        .collect();
    println!("\nfaults: {}\n{restarts}\n", faults.join(", "));
    let committed = recorded.committed();
    let is_drain = |process| recorded.is_kind(process, "drain");
    let ledger = Ledger::of(&committed, is_drain);
    println!("{ledger}");
    let uncommitted = recorded.uncommitted();
    let victim = recorded.victim(nemesis.damages());
    for (name, events) in [
        ("committed", &committed),
        ("uncommitted", &uncommitted),
        ("victim", &victim),
    ] {
        verdict::history(name, events, &launch.folder, seed)?;
    }
    ensure!(ledger.is_clean(), "not everything is there once, in order");
    verdict::data_directory(&launch.data_dir, nemesis.derived(), nemesis.damages())?;
    let panics = fs::read_to_string(launch.log())?
        .matches("panicked at")
        .count();
    ensure!(panics == 0, "the broker panicked {panics} times");
    println!("clean");
    Ok(())
}
