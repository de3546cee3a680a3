//! Worker programs, which can be killed and stopped.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// The program, built as this test was.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| crate::example::built("worker"));

/// A worker.
pub(crate) struct Program(Child);

impl Program {
    /// Starts a worker, and waits until it is connected.
    pub(crate) fn start(arguments: &[String]) -> Self {
        let mut command = Command::new(&*PROGRAM);
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
