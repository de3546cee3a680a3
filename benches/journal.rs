//! What durability costs: `cargo bench -p benches --features journal --bench journal`.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `JOURNAL_FOLDER` | where the files are; default: a folder beside the build |
//! | `JOURNAL_BACKLOG` | the largest backlog in events; default 100,000. 10,000,000 take some minutes and 5 GB |
//!
//! Times are minima of rounds. Rounds of what is compared alternate, so that
//! another user of the disk disturbs all of them. The cold cache needs root.

use std::fs::{self, OpenOptions};
use std::future::pending;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http_body_util::Empty;
use tokio::runtime::{Builder, Runtime};
use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::event::{Action, Event, RequestRecord, SharedEvent};
use tower_registry_notifications::journal::Journal;
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier, SourceRecord};

/// Number of events that each writer writes in a round.
const ROUND: u64 = 100;
const ROUNDS: usize = 7;

fn main() {
    if let Some(path) = std::env::var_os("JOURNAL_FILL") {
        return fill(Path::new(&path));
    }
    let folder = std::env::var_os("JOURNAL_FOLDER").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let folder = folder.join(format!("journal-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    accept(&folder);
    one_by_one(&folder);
    backlogs(&folder);
    fs::remove_dir_all(&folder).expect("the folder is removed");
}

/// A typical pull.
fn event(number: u64) -> SharedEvent {
    // Digests and ids do not compress.
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut hex = |digits: usize| {
        let mut text = String::new();
        while text.len() < digits {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(&format!("{state:016x}"));
        }
        text.truncate(digits);
        text
    };
    let mut event = Event::new(Action::Pull);
    let target = &mut event.target;
    target.repository = format!("team-{}/service-{}", number % 37, number % 501);
    target.descriptor.media_type = "application/octet-stream".into();
    target.descriptor.digest = format!("sha256:{}", hex(64));
    target.descriptor.size = 1_000 + number * 7_919 % 100_000_000;
    target.length = target.descriptor.size;
    let (repository, digest) = (&target.repository, &target.descriptor.digest);
    target.url = format!("https://registry.example.com/v2/{repository}/blobs/{digest}");
    let id = [8, 4, 4, 4, 12].map(&mut hex).join("-");
    let mut request = RequestRecord::new(id, "GET");
    request.addr = format!(
        "10.0.{}.{}:{}",
        number % 250,
        number % 131,
        1_024 + number % 60_000
    );
    request.host = "registry.example.com".into();
    request.user_agent = "docker/27.3.1 go/go1.22.7 git-commit/41ca978 \
        kernel/6.8.0-45-generic os/linux arch/amd64 UpstreamClient(Docker-Client/27.3.1)"
        .into();
    event.request = request;
    event.actor = format!("robot-{}", number % 90).into();
    event.source = SourceRecord::new("registry.example.com:5000");
    event.into()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Three endpoints whose receiver never answers.
fn notifier(journal: Option<Journal>) -> Notifier {
    let mut builder = Notifier::builder();
    if let Some(journal) = journal {
        builder = builder.journal(journal);
    }
    for name in ["a", "b", "c"] {
        let client = tower::service_fn(|_| {
            pending::<Result<http::Response<Empty<bytes::Bytes>>, std::io::Error>>()
        });
        let endpoint = Endpoint::new(name, "http://receiver.example.com/").client(client);
        builder = builder.endpoint(endpoint);
    }
    builder.build().expect("a notifier")
}

/// Measures the duration of a write with this many concurrent writers.
fn write(runtime: &Runtime, notifier: &Notifier, writers: u64, next: &mut u64) -> Duration {
    let events: Vec<_> = (*next..*next + writers * ROUND).map(event).collect();
    *next += writers * ROUND;
    let sink = notifier.sink();
    let start = Instant::now();
    runtime.block_on(async {
        let writers = events.chunks(ROUND as usize).map(|events| {
            let (sink, events) = (sink.clone(), events.to_vec());
            tokio::spawn(async move {
                for event in events {
                    sink.write(&event).await.expect("accepted");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("no panic");
        }
    });
    start.elapsed() / (writers * ROUND) as u32
}

/// Measures one append of 4 KiB with a sync.
fn raw(path: &Path) -> Duration {
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .append(true)
        .open(path)
        .expect("a file");
    let start = Instant::now();
    for _ in 0..ROUND {
        file.write_all(&[7; 4096]).expect("written");
        file.sync_data().expect("synced");
    }
    start.elapsed() / ROUND as u32
}

fn accept(folder: &Path) {
    let runtime = runtime();
    let _guard = runtime.enter();
    println!("accept: one write, in all of them so many writers");
    for writers in [1, 8, 64] {
        let path = folder.join(format!("accept-{writers}"));
        let journal = Journal::open(&path).expect("a journal");
        let durable = notifier(Some(journal.clone()));
        let memory = notifier(None);
        let mut best = [Duration::MAX; 3];
        let mut next = 0;
        for _ in 0..ROUNDS {
            let round = [
                raw(&folder.join("raw")),
                write(&runtime, &durable, writers, &mut next),
                write(&runtime, &memory, writers, &mut next),
            ];
            best = std::array::from_fn(|it| best[it].min(round[it]));
        }
        let status = journal.status();
        let [raw, durable, memory] = best;
        println!(
            "  {writers:2} writers: {durable:8.1?} = {:7.0}/s, {:.1} events a sync; \
             one write {:.2} × append and sync ({raw:.1?}); memory {memory:.2?}",
            1.0 / durable.as_secs_f64(),
            status.events_per_sync,
            durable.as_secs_f64() * writers as f64 / raw.as_secs_f64(),
        );
    }
}

/// Measures the space on disk of events that arrive one at a time.
fn one_by_one(folder: &Path) {
    const EVENTS: u64 = 20_000;
    let path = folder.join("one-by-one");
    let runtime = runtime();
    let _guard = runtime.enter();
    let notifier = notifier(Some(Journal::open(&path).expect("a journal")));
    runtime.block_on(async {
        for number in 0..EVENTS {
            let write = notifier.sink().write(&event(number));
            write.await.expect("accepted");
        }
    });
    println!(
        "one by one: {} B each on disk, for three endpoints",
        on_disk(&path) / EVENTS
    );
}

/// Returns the bytes that a file occupies on disk.
fn on_disk(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").blocks() * 512
}

fn backlogs(folder: &Path) {
    let most = std::env::var("JOURNAL_BACKLOG").ok();
    let most = most.and_then(|it| it.parse().ok()).unwrap_or(100_000);
    println!("backlogs for three endpoints:");
    for events in (3..=7).map(|it| 10_u64.pow(it)).filter(|it| *it <= most) {
        backlog(&folder.join(format!("backlog-{events}")), events);
    }
}

fn backlog(path: &Path, events: u64) {
    let mut child = filling(path, events);
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let filled = lines.next().expect("a line").expect("text");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let disk = on_disk(path);
    let killed = opening(path);
    let clean = opening(path);
    let cold = match fs::write("/proc/sys/vm/drop_caches", "3") {
        Ok(()) => format!("{:.1?}", opening(path)),
        Err(_) => "not measured".into(),
    };
    println!("  {events:8}: {filled}, {} B each on disk", disk / events);
    println!("            open: {killed:.1?} after kill -9, {clean:.1?} clean, {cold} cold");
    drain(path, events);
}

fn filling(path: &Path, events: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.env("JOURNAL_FILL", path);
    command.env("JOURNAL_EVENTS", events.to_string());
    command.stdout(Stdio::piped()).spawn().expect("a process")
}

/// Runs in a second process until it is killed.
fn fill(path: &Path) {
    let events = std::env::var("JOURNAL_EVENTS").expect("a number");
    let events: u64 = events.parse().expect("a number");
    let runtime = runtime();
    let _guard = runtime.enter();
    let journal = Journal::open(path).expect("a journal");
    let notifier = notifier(Some(journal));
    let sink = notifier.sink();
    let start = Instant::now();
    runtime.block_on(async {
        let mut writes = FuturesUnordered::new();
        for number in 0..events {
            if writes.len() == 1_000 {
                writes.next().await;
            }
            let write = sink.write(&event(number));
            writes.push(async move { write.await.expect("accepted") });
        }
        while writes.next().await.is_some() {}
    });
    let rate = events as f64 / start.elapsed().as_secs_f64();
    let (now, peak) = (memory("VmRSS:"), memory("VmHWM:"));
    println!("filled with {rate:.0}/s, memory {now} MiB, at most {peak} MiB");
    loop {
        std::thread::park();
    }
}

/// Returns the memory of this process in MiB.
fn memory(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|it| it.strip_prefix(what));
    let kib = line.and_then(|it| it.split_whitespace().next());
    kib.and_then(|it| it.parse::<u64>().ok()).expect("a number") / 1024
}

fn opening(path: &Path) -> Duration {
    let start = Instant::now();
    let journal = Journal::open(path).expect("a journal");
    let duration = start.elapsed();
    drop(journal);
    duration
}

/// Delivers all events to a client that accepts them at once.
fn drain(path: &Path, events: u64) {
    let runtime = runtime();
    let _guard = runtime.enter();
    let journal = Journal::open(path).expect("a journal");
    let mut builder = Notifier::builder().journal(journal.clone());
    for name in ["a", "b", "c"] {
        let client = tower::service_fn(|_| async {
            Ok::<_, std::io::Error>(http::Response::new(Empty::<bytes::Bytes>::new()))
        });
        let endpoint = Endpoint::new(name, "http://receiver.example.com/").client(client);
        builder = builder.endpoint(endpoint.batch(Batch::of(1_000)));
    }
    let start = Instant::now();
    let notifier = builder.build().expect("a notifier");
    runtime.block_on(async {
        while journal.status().endpoints.iter().any(|it| it.waiting > 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let rate = 3.0 * events as f64 / start.elapsed().as_secs_f64();
    println!(
        "            drained with {rate:.0} deliveries/s, memory {} MiB",
        memory("VmRSS:")
    );
    drop(notifier);
}
