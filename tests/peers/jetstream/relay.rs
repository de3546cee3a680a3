//! A TCP relay between a client and its server, which can
//! be cut.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the relay does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Bytes of the client arrive, answers do not.
    Mute,
    /// Nothing arrives, and new connections are closed.
    Cut,
}

pub(crate) struct Relay {
    address: SocketAddr,
    /// The mode, and a number that changes when all connections are to end.
    state: watch::Sender<(Mode, u64)>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, observed) = watch::channel((Mode::Pass, 0));
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(client, port, observed.clone()));
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Ends all connections. New ones pass.
    pub(crate) fn interrupt(&self) {
        self.state
            .send_modify(|state| *state = (Mode::Pass, state.1 + 1));
    }

    /// Ends all connections, and lets no other pass.
    pub(crate) fn cut(&self) {
        self.state
            .send_modify(|state| *state = (Mode::Cut, state.1 + 1));
    }

    /// Lets no answer of the server pass.
    pub(crate) fn mute(&self) {
        self.state.send_modify(|state| state.0 = Mode::Mute);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(client: TcpStream, port: u16, mut state: watch::Receiver<(Mode, u64)>) {
    let (mode, epoch) = *state.borrow();
    if mode == Mode::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let answers = state.clone();
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    tokio::select! {
        () = copy(client_reads, server_writes, None) => {}
        () = copy(server_reads, client_writes, Some(answers)) => {}
        _ended = state.wait_for(|state| state.1 != epoch) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    answers: Option<watch::Receiver<(Mode, u64)>>,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let muted = answers
            .as_ref()
            .is_some_and(|it| it.borrow().0 == Mode::Mute);
        if !muted && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
