//! HTTP/1.1 written by hand, so that every spelling can be sent.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct RawRequest {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) chunked: bool,
}

impl RawRequest {
    pub(crate) fn new(method: &str, target: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            chunked: false,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Returns the bytes of the request, with a `Content-Length` even if it is 0.
    pub(crate) fn to_bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\n",
            self.method, self.target
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let length = self.body.len();
        let (framing, before, after) = match (self.chunked, length) {
            (false, _) => (format!("Content-Length: {length}"), String::new(), ""),
            (true, 0) => ("Transfer-Encoding: chunked".into(), "0\r\n\r\n".into(), ""),
            (true, _) => {
                let size = format!("{length:x}\r\n");
                ("Transfer-Encoding: chunked".into(), size, "\r\n0\r\n\r\n")
            }
        };
        let head = format!("{head}{framing}\r\n\r\n{before}");
        [head.as_bytes(), &self.body, after.as_bytes()].concat()
    }
}

/// A response. Its body is empty if the connection ended within it.
#[derive(Clone, Debug)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    is_whole: bool,
}

impl RawResponse {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter();
        let found = found.find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    /// Returns path and query of `Location`.
    pub(crate) fn location(&self) -> String {
        let location = self.header("location").unwrap();
        match location.split_once("://") {
            Some((_, rest)) => rest[rest.find('/').unwrap()..].to_owned(),
            None => location.to_owned(),
        }
    }
}

/// A connection that is kept alive.
pub(crate) struct RawConnection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl RawConnection {
    pub(crate) async fn open(port: u16) -> Self {
        let host = format!("127.0.0.1:{port}");
        let stream = TcpStream::connect(&host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = BufReader::new(stream);
        Self { stream, host }
    }

    /// Sends all requests before it reads the responses. The server may close the connection
    /// before it has answered all of them, or may have closed it before the first.
    pub(crate) async fn pipeline(&mut self, requests: &[RawRequest]) -> Vec<RawResponse> {
        let bytes = requests.iter().flat_map(|it| it.to_bytes(&self.host));
        let bytes: Vec<u8> = bytes.collect();
        if self.stream.write_all(&bytes).await.is_err() {
            return Vec::new();
        }
        let mut responses = Vec::new();
        for request in requests {
            let response = timeout(PATIENCE, self.read(request.method == "HEAD")).await;
            match response.expect("no answer within a minute") {
                Ok(response) if response.is_whole => responses.push(response),
                Ok(response) => {
                    responses.push(response);
                    break;
                }
                Err(_) => break,
            }
        }
        responses
    }

    /// Sends one request and reads the answer.
    pub(crate) async fn send(&mut self, request: &RawRequest) -> RawResponse {
        let responses = self.pipeline(std::slice::from_ref(request)).await;
        let response = responses.into_iter().next();
        response.unwrap_or_else(|| panic!("no answer to {request:?}"))
    }

    async fn read(&mut self, is_head: bool) -> io::Result<RawResponse> {
        let status_line = self.line().await?;
        let status = status_line.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(status_line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut response = RawResponse {
            status,
            headers,
            body: Vec::new(),
            is_whole: true,
        };
        if !is_head && !matches!(status, 100..200 | 204 | 304) {
            match self.body(&response).await {
                Ok(body) => response.body = body,
                Err(_) => response.is_whole = false,
            }
        }
        Ok(response)
    }

    async fn body(&mut self, head: &RawResponse) -> io::Result<Vec<u8>> {
        let length = head.header("content-length");
        let mut body = Vec::new();
        match length.map(|it| it.parse().unwrap()) {
            Some(length) => {
                body.resize(length, 0);
                self.stream.read_exact(&mut body).await?;
            }
            None if head.header("transfer-encoding").is_some() => body = self.chunks().await?,
            None => drop(self.stream.read_to_end(&mut body).await?),
        }
        Ok(body)
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let size = self.line().await?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            let start = content.len();
            content.resize(start + size, 0);
            self.stream.read_exact(&mut content[start..]).await?;
            // The line end after a chunk, or the empty line after trailers.
            while !self.line().await?.is_empty() {}
            if size == 0 {
                return Ok(content);
            }
        }
    }

    /// Reads a line and returns it without its end.
    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await?;
        let line = line
            .strip_suffix(b"\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }
}
