//! Answers every request at the lowest possible cost: the receiver of deliveries, and the
//! registry behind the proxy in load tests.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

const ACCEPTED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const END: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"Content-Length: ";

/// Receives deliveries until it is killed.
pub(crate) fn receive() {
    run(|_| ACCEPTED);
}

/// Serves a manifest of 1.6 KB and a blob of 16 KiB until it is killed.
pub(crate) fn serve() {
    let content = |kind: &str, length: usize| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ndocker-content-digest: {DIGEST}\r\n\
             content-length: {length}\r\n\r\n"
        );
        let content = [head.into_bytes(), vec![b' '; length]].concat();
        &*content.leak()
    };
    let manifest = content("application/vnd.oci.image.manifest.v1+json", 1_600);
    let blob = content("application/octet-stream", 16 << 10);
    run(move |request| match find(request, b"/blobs/") {
        Some(_) => blob,
        None => manifest,
    });
}

/// Prints the address that it listens on, and answers requests.
fn run(response: impl Fn(&[u8]) -> &'static [u8] + Clone + Send + 'static) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    for stream in listener.incoming().flatten() {
        let response = response.clone();
        std::thread::spawn(move || answer(stream, response));
    }
}

fn answer(mut stream: TcpStream, response: impl Fn(&[u8]) -> &'static [u8]) {
    stream.set_nodelay(true).expect("no delay");
    let (mut buffer, mut filled) = (vec![0; 4 << 20], 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += read;
        let Some(request) = length(&buffer[..filled]) else {
            continue;
        };
        if filled < request {
            continue;
        }
        assert_eq!(filled, request, "one request at a time");
        let response = response(&buffer[..filled]);
        filled = 0;
        if stream.write_all(response).is_err() {
            return;
        }
    }
}

/// Returns the length of the first request in the buffer once its head has arrived.
fn length(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, END)?;
    let value = find(&bytes[..head], LENGTH).map_or(0, |at| {
        let digits = bytes[at + LENGTH.len()..].iter();
        let digits = digits.take_while(|it| it.is_ascii_digit());
        digits.fold(0, |value, digit| value * 10 + usize::from(digit - b'0'))
    });
    Some(head + END.len() + value)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|it| it == wanted)
}
