//! libFuzzer around one of the targets: `FUZZ_TARGET` names it, and `FUZZ_SEEDS` a folder that is given its seed inputs before
//! the corpus is read. `cargo xtask fuzz run` sets both.
#![no_main]

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::Mutex;

use fuzzing::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();
/// What the last panic said.
static PANIC: Mutex<String> = Mutex::new(String::new());

fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let target = fuzzing::find(&name).expect("FUZZ_TARGET names a target");
        TARGET.get_or_init(|| target);
        keep_panics();
        if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
            write_seeds(target, &PathBuf::from(folder));
        }
    },
    |data: &[u8]| {
        let target = TARGET.get().expect("it was chosen before the first input");
        if catch_unwind(AssertUnwindSafe(|| (target.run)(data))).is_err() {
            let said = PANIC.lock().map(|said| said.clone()).unwrap_or_default();
            eprintln!("\n{said}");
            std::process::abort();
        }
    }
);

/// A panic that the code under test catches itself is none of ours: the hook that libfuzzer-sys sets, which aborts at once,
/// goes.
fn keep_panics() {
    drop(take_hook());
    set_hook(Box::new(|panic| {
        let said = format!("{panic}\n{}", std::backtrace::Backtrace::force_capture());
        if let Ok(mut kept) = PANIC.lock() {
            *kept = said;
        }
    }));
}

fn write_seeds(target: Target, folder: &std::path::Path) {
    for (number, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:04}")), seed)
            .expect("the corpus can be written to");
    }
}
