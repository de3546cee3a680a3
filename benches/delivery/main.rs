//! What a delivery costs, beside a blocking socket, hyper's connection and
//! hyper-util's pooled client that send the same bytes. `benches/delivery.sh`
//! runs it with the receiver pinned to a core, and counts system calls.
//!
//! ```text
//! cargo bench --bench delivery                      all of them, in one run
//! cargo bench --bench delivery -- --quick           the same, one round
//! cargo bench --bench delivery -- one NAME EVENTS   one of them, to be traced
//! cargo bench --bench delivery -- receiver          answers until it is killed
//! cargo bench --bench delivery -- upstream          serves a manifest and a blob
//! ```
//!
//! One request is in flight at a time, on one connection that stays open. The
//! receiver is a process of its own, which reads and answers as little as HTTP
//! allows; `RECEIVER=127.0.0.1:<port>` and `RECEIVER_PID` name one that runs
//! already. Each sender has its turn in each round, and its best round counts.
//!
//! The output has the elapsed time and the processor time of both processes. Other work on
//! the machine hardly affects the latter. On one core that is never idle, both are the
//! same.

#[path = "../support/cpu.rs"]
mod cpu;
mod receiver;
mod senders;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::senders::Sender;

/// Number of rounds of each sender, and of events in each round.
const ROUNDS: usize = 9;
const EVENTS: usize = 4_000;

/// The process of the receiver, which ends with this one if it started it.
struct Receiver {
    address: SocketAddr,
    pid: u32,
    child: Option<Child>,
}

impl Receiver {
    /// Starts a receiver unless the environment names one.
    fn start() -> Self {
        let named = std::env::var("RECEIVER")
            .ok()
            .zip(std::env::var("RECEIVER_PID").ok());
        if let Some((address, pid)) = named {
            return Self {
                address: address.parse().expect("RECEIVER is ip:port"),
                pid: pid.parse().expect("RECEIVER_PID is a number"),
                child: None,
            };
        }
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .arg("receiver")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a receiver");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its stdout");
        let read = BufReader::new(stdout).read_line(&mut line);
        read.expect("its address");
        Self {
            address: line.trim().parse().expect("its address"),
            pid: child.id(),
            child: Some(child),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

fn main() {
    // Cargo passes `--bench` to every benchmark.
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let (flags, arguments): (Vec<_>, Vec<_>) = { arguments.iter() }
        .map(String::as_str)
        .partition(|it| *it == "--quick");
    let rounds = if flags.is_empty() { ROUNDS } else { 1 };
    match *arguments {
        ["receiver"] => receiver::receive(),
        ["upstream"] => receiver::serve(),
        ["one", name, events] => {
            let receiver = Receiver::start();
            let events = events.parse().expect("a number of events");
            let mut sender = Sender::new(name, receiver.address);
            let took = sender.send(events);
            println!("{name}: {:.2} µs an event", micros(took, events));
        }
        [] => all("", rounds),
        // Like in other benchmarks, a word selects those whose names contain it.
        [word] if !word.starts_with('-') => all(word, rounds),
        _ => {
            eprintln!("usage: delivery [--quick] [one NAME EVENTS | receiver | upstream | WORD]");
            std::process::exit(2);
        }
    }
}

/// Compares the senders whose names contain `word` with the socket, which is the first.
fn all(word: &str, rounds: usize) {
    let others = senders::NAMES[1..].iter();
    let others: Vec<_> = others.filter(|name| name.contains(word)).collect();
    if others.is_empty() {
        return;
    }
    let receiver = Receiver::start();
    let mut senders: Vec<_> = { senders::NAMES[..1].iter().chain(others) }
        .map(|name| Row::new(name, receiver.address))
        .collect();
    for _ in 0..rounds {
        for row in &mut senders {
            row.round(receiver.pid);
        }
    }
    println!("| sender | µs an event | of a socket's | processor µs | of a socket's |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let socket = (senders[0].time(), senders[0].cpu());
    for row in &senders {
        let (name, time, cpu) = (row.name, row.time(), row.cpu());
        let (times, cpus) = (time / socket.0, cpu / socket.1);
        println!("| {name} | {time:.2} | {times:.2} | {cpu:.2} | {cpus:.2} |");
    }
}

/// A sender and its best rounds.
struct Row {
    name: &'static str,
    sender: Sender,
    time: Duration,
    cpu: Duration,
}

impl Row {
    fn new(name: &'static str, receiver: SocketAddr) -> Self {
        Self {
            name,
            sender: Sender::new(name, receiver),
            time: Duration::MAX,
            cpu: Duration::MAX,
        }
    }

    fn round(&mut self, receiver: u32) {
        let cpu = || cpu::used(std::process::id()) + cpu::used(receiver);
        let before = cpu();
        self.time = self.sender.send(EVENTS).min(self.time);
        self.cpu = (cpu() - before).min(self.cpu);
    }

    fn time(&self) -> f64 {
        micros(self.time, EVENTS)
    }

    fn cpu(&self) -> f64 {
        micros(self.cpu, EVENTS)
    }
}

fn micros(took: Duration, events: usize) -> f64 {
    took.as_secs_f64() * 1e6 / events as f64
}
