//! How the examples begin and end: options, the log, listening, errors.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use tokio::net::TcpListener;
use tower::BoxError;

use crate::causes::with_causes;
use crate::flags::{self, Flags, HostPort, Listen};

/// Runs the example `program` with the options of the command line.
///
/// Warnings of the crate, such as failed deliveries, are printed on stderr.
/// `--help` prints its text, and an error is one line.
pub async fn start<F, R>(program: &str, run: impl FnOnce(F) -> R) -> ExitCode
where
    F: Flags,
    R: Future<Output = Result<(), BoxError>>,
{
    with_help(program, F::help(), run).await
}

/// Runs an example whose only option is where to listen. `about` is the first line of its
/// help, and `features` the Cargo arguments in front of `--example`. `hint` is what to try;
/// `ADDRESS` in it is replaced by the address.
pub async fn listening<R>(
    program: &str,
    features: &str,
    about: &str,
    hint: &str,
    run: impl FnOnce(TcpListener) -> R,
) -> ExitCode
where
    R: Future<Output = Result<(), BoxError>>,
{
    let help = format!(
        "{about}\n\nUsage: cargo run {features}--example {program} -- [options]\n\n{}",
        Listen::help()
    );
    with_help(program, help, async |Listen(address)| {
        let listener = listen("--listen", &address).await?;
        let address = reachable(listener.local_addr()?).to_string();
        let hint = hint.replace("ADDRESS", &address);
        eprintln!("Registry on {address}. Ctrl-C stops. Try, in another terminal:\n\n{hint}\n");
        run(listener).await
    })
    .await
}

async fn with_help<F, R>(program: &str, help: String, run: impl FnOnce(F) -> R) -> ExitCode
where
    F: Flags,
    R: Future<Output = Result<(), BoxError>>,
{
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(false)
        .init();
    let result = match flags::parse(std::env::args_os().skip(1)) {
        Ok(Some(flags)) => run(flags).await,
        Ok(None) => print(&help),
        Err(message) => Err(message.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Prints `text`. `print!` would panic if the pipe is closed, as in `--help | head -1`.
fn print(text: &str) -> Result<(), BoxError> {
    use io::Write as _;
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Listens on the address that `option` names.
pub async fn listen(option: &str, address: &HostPort) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address.as_str()).await;
    listener.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another program uses this port; \
             choose another with {option} HOST:PORT (port 0 picks a free one)"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    })
}

/// Returns the address under which clients on this machine reach a server that listens on
/// `address`.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
