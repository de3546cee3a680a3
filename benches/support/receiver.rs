//! A receiver that reads and answers as little as HTTP allows.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

/// Starts a receiver that answers every request with 200. Returns its port.
pub(crate) fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

fn answer(mut stream: std::net::TcpStream) {
    let (mut buffer, mut filled) = (vec![0; 1 << 20], 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += read;
        let Some(head) = buffer[..filled].windows(4).position(|it| it == b"\r\n\r\n") else {
            continue;
        };
        let headers = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let length = headers.split("content-length: ").nth(1).unwrap_or("0");
        let length = length.lines().next().and_then(|it| it.parse().ok());
        if filled < head + 4 + length.unwrap_or(0) {
            continue;
        }
        filled = 0;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}
