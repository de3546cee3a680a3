//! Ways to spell a request so that a registry may still take it.

use fastrand::Rng;

use crate::common::raw::RawRequest;

/// Changes a request in up to three ways; one in ten stays as it is.
pub(crate) fn mutate(random: &mut Rng, request: &mut RawRequest) {
    let count = [0, 1, 1, 1, 1, 1, 1, 2, 2, 3][random.usize(..10)];
    for _ in 0..count {
        match random.u8(..12) {
            0..6 => path(random, request),
            6..8 => query(random, request),
            8 => method(random, request),
            9 => ranges(random, request),
            _ => headers(random, request),
        }
    }
}

fn pick<'a>(random: &mut Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(..from.len())]
}

/// The parts of a path that stand for a character each.
fn characters(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let length = match rest.as_bytes() {
            [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => 3,
            _ => first.len_utf8(),
        };
        parts.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    parts
}

fn encode(random: &mut Rng, part: &str) -> String {
    let encode = |byte: u8| match random.bool() {
        true => format!("%{byte:02X}"),
        false => format!("%{byte:02x}"),
    };
    part.bytes().map(encode).collect()
}

fn path(random: &mut Rng, request: &mut RawRequest) {
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (&*request.target, String::new()),
    };
    let mut parts = characters(path);
    // The slash at the beginning stays, or it would be no path.
    let any = |random: &mut Rng, parts: &[String], is: fn(&str) -> bool| {
        let places = (1..parts.len()).filter(|at| is(&parts[*at]));
        let places: Vec<_> = places.collect();
        (!places.is_empty()).then(|| places[random.usize(..places.len())])
    };
    let mut change =
        |random: &mut Rng, is: fn(&str) -> bool, to: &dyn Fn(&mut Rng, &str) -> String| {
            if let Some(at) = any(random, &parts, is) {
                parts[at] = to(random, &parts[at]);
            }
        };
    match random.u8(..14) {
        0 => (0..3).for_each(|_| change(random, |it| it.len() == 1 && it != "/", &encode)),
        1 => {
            parts = parts
                .iter()
                .map(|it| match &**it {
                    "/" => "/".to_owned(),
                    it if it.len() == 1 => encode(random, it),
                    it => it.to_owned(),
                })
                .collect();
        }
        2 => change(random, |it| it == "/", &encode),
        3 => change(random, |it| it == ".", &encode),
        4 => change(random, |it| it.len() == 1 && it != "/", &|_, it| {
            format!("%25{:02x}", it.as_bytes()[0])
        }),
        5 => change(random, |it| it.len() == 3, &|_, it| it.replace('%', "%25")),
        6 => change(random, |it| it == "/", &|random, _| {
            pick(
                random,
                &["/./", "/%2e/", "/x/../", "/x/%2E%2e/", "/../", "/%2e%2e/"],
            )
            .to_owned()
        }),
        7 => change(random, |it| it == "/", &|_, _| "//".to_owned()),
        8 => parts.push(pick(random, &["/", "//", "/.", "%2F", "/..", ";x", "%00"]).to_owned()),
        9 => (0..2).for_each(|_| {
            change(random, |it| it.chars().all(char::is_lowercase), &|_, it| {
                it.to_uppercase()
            });
        }),
        10 => parts.insert(
            0,
            pick(random, &["/", "/.", "/x/..", "/v2/..", "/%2e"]).to_owned(),
        ),
        11 => change(random, |it| it == ":", &encode),
        12 => change(random, |it| it.len() == 1, &|random, it| {
            format!(
                "{it}{}",
                pick(random, &["%20", "+", "%FF", "%zz", "%", "~", "\"", "%0a"])
            )
        }),
        _ => parts.insert(0, "http://127.0.0.1".to_owned()),
    }
    request.target = parts.concat() + &query;
}

fn query(random: &mut Rng, request: &mut RawRequest) {
    let noise = pick(
        random,
        &[
            "x=y",
            "",
            "&",
            ";",
            "%zz",
            "a=%zz",
            "mount=%zz",
            "digest=",
            "digest=sha256:00",
            "digest=%zz",
            "from=other",
            "from=",
            "tag=x",
            "mount=",
            "?",
            "a;b=c",
            "x=%00",
            "Mount=x",
            "digest=x;y",
        ],
    );
    request.target = match request.target.split_once('?') {
        Some((path, query)) if random.bool() => format!("{path}?{noise}&{query}"),
        Some((path, query)) if random.bool() => {
            let encoded: String = query
                .chars()
                .map(|it| match it {
                    ':' | '/' => encode(random, &it.to_string()),
                    it => it.to_string(),
                })
                .collect();
            format!("{path}?{encoded}")
        }
        Some((path, query)) => format!("{path}?{query}&{noise}"),
        None => format!("{}?{noise}", request.target),
    };
}

fn method(random: &mut Rng, request: &mut RawRequest) {
    request.method = match &*request.method {
        "GET" if random.u8(..8) > 0 => "HEAD".to_owned(),
        "HEAD" => "GET".to_owned(),
        method if random.bool() => method.to_lowercase(),
        method => method.to_owned(),
    };
}

fn ranges(random: &mut Rng, request: &mut RawRequest) {
    let (name, value) = match random.u8(..10) {
        0..7 => {
            let ranges = [
                "bytes=0-",
                "bytes=0-3",
                "bytes=-2",
                "bytes=0-0,2-3",
                "bytes=9999-",
                "bytes=3-1",
                "items=0-1",
                "bytes=0-0,1-",
                "Bytes=1-",
            ];
            ("Range", pick(random, &ranges).to_owned())
        }
        7 => ("If-None-Match", "*".to_owned()),
        8 => ("If-Match", "\"none\"".to_owned()),
        _ => {
            let (_, last) = request.target.rsplit_once('/').unwrap();
            ("If-None-Match", format!("\"{last}\""))
        }
    };
    if value.is_ascii() {
        request.headers.push((name.to_owned(), value));
    }
}

fn headers(random: &mut Rng, request: &mut RawRequest) {
    let kind = request
        .headers
        .iter()
        .position(|(name, _)| name == "Content-Type");
    match random.u8(..5) {
        0 => {
            let shout = |(name, _): &mut (String, String)| *name = name.to_uppercase();
            request.headers.iter_mut().for_each(shout);
        }
        1 => request.chunked = true,
        2 => {
            let encoding = pick(random, &["gzip", "identity", "br"]);
            request
                .headers
                .push(("Content-Encoding".into(), encoding.into()));
        }
        3 => {
            if let Some(at) = kind {
                let value = &mut request.headers[at].1;
                *value = match random.bool() {
                    true => value.to_uppercase(),
                    false => format!("{value}; charset=utf-8"),
                };
            }
        }
        _ => {
            if let Some(at) = kind {
                let generic = [
                    "application/json",
                    "application/octet-stream",
                    "text/plain",
                    "*/*",
                    "",
                ];
                request.headers[at].1 = pick(random, &generic).to_owned();
            }
        }
    }
}
