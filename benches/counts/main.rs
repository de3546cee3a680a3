//! Runs one path of the crate, so that its instructions and allocations can be counted.
//!
//! `scripts/counts.sh` runs this for every path and compares with `expected.txt`. Times
//! depend on the machine and on what else runs on it. Counts hardly do.
//!
//! ```sh
//! cargo bench --bench counts -- list          # the names of all paths
//! cargo bench --bench counts -- allocations   # name, allocations and bytes of each
//! cargo bench --bench counts -- run NAME      # runs one path 1,024 times
//! cargo bench --bench counts -- times         # nanoseconds, the minimum of many rounds
//! cargo bench --bench counts -- encode        # times of the paths whose names have this word
//! ```
//!
//! Callgrind must collect in [`measured`] only: `--toggle-collect='*measured*'`.

#[allow(dead_code, reason = "the benches share it, and each uses a part")]
#[path = "../common/mod.rs"]
mod common;

mod bridge;
mod delivery;
mod encode;
mod request;

use std::time::{Duration, Instant};

/// How often a path runs under callgrind, in rounds of [`ROUND`].
const ITERATIONS: u32 = 1_024;
const ROUND: u32 = 64;

/// A path of the crate whose cost is counted.
struct Path {
    name: String,
    /// The work that is counted.
    run: Box<dyn FnMut()>,
    /// Runs after each round and is not counted.
    between: Box<dyn FnMut()>,
}

impl Path {
    fn new(name: impl Into<String>, run: impl FnMut() + 'static) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
            between: Box::new(|| {}),
        }
    }

    fn between(mut self, between: impl FnMut() + 'static) -> Self {
        self.between = Box::new(between);
        self
    }

    fn rounds(&mut self, iterations: u32) {
        for _ in 0..iterations / ROUND {
            measured(&mut self.run);
            (self.between)();
        }
    }
}

/// Returns all paths. Each is built when it is needed.
fn paths() -> Vec<Path> {
    let mut paths = request::paths();
    paths.extend(bridge::paths());
    paths.extend(encode::paths());
    paths.extend(delivery::paths());
    paths
}

/// Callgrind collects from the entry of this function to its end, so it must stay a
/// function of its own, and the only one with this name.
#[inline(never)]
fn measured(run: &mut dyn FnMut()) {
    (0..ROUND).for_each(|_| run());
}

fn main() {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let (flags, arguments): (Vec<_>, Vec<_>) = { arguments.iter() }
        .map(String::as_str)
        .partition(|it| *it == "--quick");
    let rounds = if flags.is_empty() { 3_000 } else { 100 };
    // Work that continues after its client has disconnected is spawned here.
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    match arguments[..] {
        ["list"] => paths().iter().for_each(|path| println!("{}", path.name)),
        ["allocations"] => paths().iter_mut().for_each(allocations),
        [] | ["times"] => paths().iter_mut().for_each(|path| time(path, rounds)),
        ["run", name] => {
            let mut paths = paths().into_iter();
            let path = paths.find(|path| path.name == name);
            let mut path = path.expect("a path of this name");
            path.rounds(ITERATIONS);
            println!("{ITERATIONS}");
        }
        // Like in other benchmarks, a word selects those whose names contain it.
        [word] if !word.starts_with('-') => {
            let paths = paths().into_iter().filter(|it| it.name.contains(word));
            paths.for_each(|mut path| time(&mut path, rounds));
        }
        _ => {
            eprintln!("usage: counts [--quick] [list | allocations | times | run NAME | WORD]");
            std::process::exit(2);
        }
    }
}

/// Prints the time of one iteration. Other work on the machine only adds to it, so the
/// shortest round is the nearest to the truth.
fn time(path: &mut Path, rounds: usize) {
    path.rounds(ITERATIONS);
    let mut shortest = Duration::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        measured(&mut path.run);
        shortest = shortest.min(start.elapsed());
        (path.between)();
    }
    let nanoseconds = shortest.as_nanos() as f64 / f64::from(ROUND);
    println!("{} {nanoseconds:.1} ns", path.name);
}

/// Prints the allocations and bytes of one iteration, once buffers have grown.
fn allocations(path: &mut Path) {
    path.rounds(ITERATIONS);
    let counted = allocation_counter::measure(&mut path.run);
    (path.between)();
    println!(
        "{} {} {}",
        path.name, counted.count_total, counted.bytes_total
    );
}
