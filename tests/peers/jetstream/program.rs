//! Worker programs, which can be killed and stopped.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The program, built as this test was.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut build = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()));
        build.args(["build", "--example", "worker", "--message-format=json"]);
        // As `scripts/test.sh` does, so that nothing is built anew.
        build.args(["--workspace", "--all-features"]);
        // What cargo says to this test would make it build other crates anew.
        for (name, _) in std::env::vars() {
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                build.env_remove(name);
            }
        }
        let output = build.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "the example does not build");
        let messages = String::from_utf8(output.stdout).unwrap();
        let mut executables = messages.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).unwrap();
            let executable = message["executable"].as_str().map(PathBuf::from);
            executable.filter(|_| message["target"]["name"] == "worker")
        });
        executables.next().expect("no executable")
    })
}

/// A worker.
pub(crate) struct Program(Child);

impl Program {
    /// Starts a worker, and waits until it is connected.
    pub(crate) fn start(arguments: &[String]) -> Self {
        let mut command = Command::new(program());
        command.args(arguments).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            let line = log.next().unwrap_or_else(|| panic!("it ended: {said:#?}"));
            let line = line.unwrap();
            if line.starts_with("Worker ") {
                break;
            }
            said.push(line);
        }
        // Else it would block when the pipe is full.
        std::thread::spawn(move || log.for_each(drop));
        Self(child)
    }

    /// Sends a signal: `STOP`, `CONT`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks it to end, and waits until it has. Returns whether all went well.
    pub(crate) fn end(&mut self) -> bool {
        self.signal("INT");
        self.0.wait().unwrap().success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}
