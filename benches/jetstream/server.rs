//! A nats-server of the bench's own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    folder: PathBuf,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let folder = format!("{}/jetstream-{port}", env!("CARGO_TARGET_TMPDIR"));
        let program = std::env::var("NATS_SERVER").unwrap_or("nats-server".into());
        let child = Command::new(program)
            .args(["--addr", "127.0.0.1", "--jetstream"])
            .args(["--port", &port.to_string(), "--store_dir", &folder])
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server");
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self {
            child,
            url: format!("nats://127.0.0.1:{port}"),
            folder: folder.into(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}
