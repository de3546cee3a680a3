//! Answers 200 to every request, as cheaply as can be.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const END: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"content-length: ";

/// Prints where it listens, and answers until it is killed.
pub(crate) fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) {
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
        filled = 0;
        if stream.write_all(ANSWER).is_err() {
            return;
        }
    }
}

/// The bytes of the request that begins here, once its head is there.
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
