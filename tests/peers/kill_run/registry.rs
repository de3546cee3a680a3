//! The registry example as a program that is killed.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

/// The program, built as this test was.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| crate::example::built("registry"));

pub(crate) struct Registry {
    arguments: Vec<String>,
    address: String,
    process: Child,
}

impl Registry {
    /// Starts a registry whose journal is in `folder`. The options say where its events
    /// go.
    pub(crate) fn start(folder: &Path, options: &[&str]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let journal = folder.join("journal").display().to_string();
        let own = ["--listen", &address, "--journal", &journal];
        let arguments = own.iter().chain(options).map(|it| (*it).to_owned());
        let arguments: Vec<_> = arguments.collect();
        let process = spawn(&arguments);
        Self {
            arguments,
            address,
            process,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Waits until it takes connections.
    pub(crate) async fn is_up(&mut self) {
        while TcpStream::connect(&self.address).await.is_err() {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the registry has ended: {status}: {}", self.log());
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn revive(&mut self) {
        self.process = spawn(&self.arguments);
    }

    /// Ends it as Ctrl-C does. Returns what it has said on stderr.
    pub(crate) fn stop(&mut self) -> String {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.unwrap().success());
        let log = self.log();
        assert!(self.process.wait().unwrap().success(), "{log}");
        log
    }

    fn log(&mut self) -> String {
        let mut log = String::new();
        if let Some(mut stderr) = self.process.stderr.take() {
            stderr.read_to_string(&mut log).unwrap();
        }
        log
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(arguments: &[String]) -> Child {
    // Little is said on stderr: the pipe holds it.
    let mut command = Command::new(&*PROGRAM);
    command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// A port that was free a moment ago. The registry needs the same one each time.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
