//! Hostile frames over all decoders: no panic, and bounded memory.
//!
//! `cargo test` runs a short round; `cargo xtask fuzz frames --frames N` a long one in release. Everything follows from the
//! seed, so a complaint can be repeated with `--seed S --first F --frames 1`. This is a program of its own, not a test
//! harness, because the counting allocator must see one thread only.
#![allow(
    clippy::print_stdout,
    reason = "a command line tool talks on standard output"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the rate is measured on real time, and test vectors may have a capacity"
)]

mod counting;
mod mutate;
mod targets;

use std::process::ExitCode;

use bytes::Bytes;
use mutate::Random;
use targets::Target;

/// Frames of the short round.
const FRAMES_DEFAULT: u64 = 200_000;
/// Extra memory allowed per byte of the frame.
const RATIO_MAX: usize = 8;
/// Frames from this size on are counted in the worst ratio; shorter ones may use the decoder's fixed allowance.
const RATIO_FROM: usize = 9000;
/// Complaints shown; more say nothing new.
const SHOWN_MAX: u64 = 20;

#[derive(Debug)]
struct Options {
    frames: u64,
    first: u64,
    seed: u64,
}

fn options() -> Options {
    let mut options = Options {
        frames: FRAMES_DEFAULT,
        first: 0,
        seed: 1,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let place = match name.as_str() {
            "--frames" => &mut options.frames,
            "--first" => &mut options.first,
            "--seed" => &mut options.seed,
            // cargo test passes its own flags and filters on.
            _ => continue,
        };
        let value = arguments.next().expect("the option has a value");
        *place = value
            .replace('_', "")
            .parse()
            .expect("the value is a number");
    }
    options
}

#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    panics: u64,
    too_much: u64,
    worst_ratio: f64,
    worst_name: &'static str,
    most_small: usize,
}

/// One frame: decoded once, its peak of extra memory taken.
fn one(targets: &[Target], options: &Options, number: u64, tally: &mut Tally) {
    let mut random = Random::new(options.seed, number);
    let target = &targets[random.below(targets.len())];
    let version = random.version(target.versions.clone());
    let frame = mutate::frame(&mut random, target, version);
    let length = frame.len();
    let frame = Bytes::from(frame.into_boxed_slice());

    let before = counting::start();
    let outcome = std::panic::catch_unwind(|| (target.decode)(frame, version));
    let extra = counting::peak_since(before);

    let complain = |what: &str, count: &mut u64| {
        *count += 1;
        if *count <= SHOWN_MAX {
            println!(
                "{what}: {} version {version}, {length} bytes, frame {number} of seed {}",
                target.name, options.seed
            );
        }
    };
    match outcome {
        Ok(accepted) => tally.accepted += u64::from(accepted),
        Err(_panic) => complain("panic", &mut tally.panics),
    }
    if extra > (RATIO_MAX * length).max(target.allowance) {
        complain(
            &format!("{extra} bytes of extra memory"),
            &mut tally.too_much,
        );
    }
    if target.allowance <= targets::MESSAGE_ALLOWANCE {
        if length >= RATIO_FROM {
            let ratio = extra as f64 / length as f64;
            if ratio > tally.worst_ratio {
                (tally.worst_ratio, tally.worst_name) = (ratio, target.name);
            }
        } else {
            tally.most_small = tally.most_small.max(extra);
        }
    }
}

fn main() -> ExitCode {
    let options = options();
    let targets = targets::all();
    // A panic is counted, not printed with a trace each time.
    std::panic::set_hook(Box::new(|_panic| {}));
    let mut tally = Tally::default();
    let start = std::time::Instant::now();
    for number in options.first..options.first.saturating_add(options.frames) {
        one(&targets, &options, number, &mut tally);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} frames over {} decoders in {seconds:.1} s: {} accepted, {} panics, {} over {RATIO_MAX} x the frame; worst ratio {:.2} ({}, frames of {RATIO_FROM} bytes and more), most for shorter frames {} bytes",
        options.frames,
        targets.len(),
        tally.accepted,
        tally.panics,
        tally.too_much,
        tally.worst_ratio,
        tally.worst_name,
        tally.most_small
    );
    if tally.panics == 0 && tally.too_much == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
