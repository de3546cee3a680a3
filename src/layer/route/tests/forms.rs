use proptest::prelude::*;

use super::form::{is_form, parse};
use super::*;

const MULTIPART: &str = "multipart/form-data; boundary=b";

/// Parts with CRLF newlines.
fn parts(parts: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (head, content) in parts {
        body += &format!("--b\r\n{head}\r\n\r\n{content}\r\n");
    }
    body + "--b--\r\n"
}

fn named(name: &str) -> String {
    format!("Content-Disposition: form-data; name=\"{name}\"")
}

fn read(body: &str) -> Option<UploadParameters> {
    parse(MULTIPART, body.as_bytes())
}

#[test]
fn types_of_forms() {
    for content_type in [
        "application/x-www-form-urlencoded",
        "APPLICATION/X-WWW-Form-Urlencoded; charset=utf-8",
        " application/x-www-form-urlencoded ;",
        "multipart/form-data; boundary=b",
        "Multipart/Form-Data",
    ] {
        assert!(is_form(content_type), "{content_type}");
    }
    for content_type in [
        "",
        "application/octet-stream",
        "application/x-www-form-urlencoded2",
        "multipart/mixed; boundary=b",
        "text/plain; x=application/x-www-form-urlencoded",
    ] {
        assert!(!is_form(content_type), "{content_type}");
        assert_eq!(parse(content_type, b"mount=s:1"), None, "{content_type}");
    }
}

#[test]
fn forms_that_are_url_encoded() {
    for content_type in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-FORM-URLENCODED; charset=UTF-8",
    ] {
        let found = parse(content_type, b"mount=s%3A1&from=a%2Fb&mount=x");
        assert_eq!(found, Some(parameters("", "?", "a/b")));
        assert_eq!(parse(content_type, b""), Some(parameters("", "", "")));
    }
}

#[test]
fn forms_in_parts() {
    let body = parts(&[
        (&named("mount"), "s:1"),
        (&named("from"), "FOO/app"),
        (&named("other"), "x"),
        (&named("mount"), "s:2"),
        (&named("digest"), ""),
    ]);
    let wanted = Some(parameters("", "?", "FOO/app"));
    for content_type in [
        MULTIPART,
        "MULTIPART/Form-Data;BOUNDARY=b",
        "multipart/form-data; charset=utf-8; boundary=\"b\" ;",
    ] {
        assert_eq!(
            parse(content_type, body.as_bytes()),
            wanted,
            "{content_type}"
        );
    }
    let lines = body.replace("\r\n", "\n");
    assert_eq!(read(&lines), wanted);
    assert_eq!(
        read(&format!("preamble\r\n{body}epilogue\r\n--b\r\n")),
        wanted
    );
    assert_eq!(read(body.trim_end()), wanted);
    assert_eq!(read("--b--"), Some(parameters("", "", "")));
}

#[test]
fn heads_of_parts() {
    for head in [
        "content-disposition: form-data; name=mount",
        "CONTENT-DISPOSITION:Form-Data;NAME=\"mount\"",
        "Content-Disposition: form-data; name=\"mount\"; x=\"a;b\\\"c\"",
        "Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"mount\"",
        "Content-Disposition: form-data; name=mount\r\nContent-Transfer-Encoding: 8BIT",
    ] {
        let found = read(&parts(&[(head, "s:1")]));
        assert_eq!(found, Some(parameters("", "s:1", "")), "{head}");
    }
    for head in [
        "Content-Disposition: form-data; name=\"mount\"; filename=\"mount\"",
        "Content-Disposition: attachment; name=mount",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; name=Mount",
        "Content-Type: text/plain",
    ] {
        let found = read(&parts(&[(head, "s:1")]));
        assert_eq!(found, Some(parameters("", "", "")), "{head}");
    }
}

#[test]
fn sizes_of_partial_content() {
    for content in ["s:1\r\n--bx", "s:1\r\n", "\r\ns:1", "--b-", "a\nb", " s:1 "] {
        let found = read(&parts(&[(&named("mount"), content)]));
        assert_eq!(found, Some(parameters("", content, "")), "{content:?}");
    }
    let body = format!("--b\r\n{}\r\n\r\n--b--", named("mount"));
    assert_eq!(read(&body), Some(parameters("", "", "")));
    let body = [
        b"--b\r\n",
        named("from").as_bytes(),
        b"\r\n\r\n\xff\r\n--b--",
    ]
    .concat();
    assert_eq!(
        parse(MULTIPART, &body),
        Some(parameters("", "", "\u{fffd}"))
    );
}

/// Servers read these differently, or not at all.
#[test]
fn malformed_forms_are_not_read() {
    let body = parts(&[(&named("mount"), "s:1")]);
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=b; boundary=c",
        "multipart/form-data; boundary*=utf-8''b",
        "multipart/form-data; boundary=\"b",
        "multipart/form-data; boundary=c",
    ] {
        assert_eq!(parse(content_type, body.as_bytes()), None, "{content_type}");
    }
    for body in [
        "",
        "mount=s:1",
        "--b",
        "--b\r\n",
        "--b \r",
        "--b--x\r\n",
        "--b\r\n\r\n",
        "--b\r\nno colon\r\n\r\nx\r\n--b--",
        "--b\r\na b: c\r\n\r\nx\r\n--b--",
        "--b\r\na: b\r\n c\r\n\r\nx\r\n--b--",
        "--b\r\na: b\r\n--b--",
        // No last delimiter.
        &body[..body.len() - 4],
        // Newlines of two kinds.
        &body.replacen("\r\n", "\n", 1),
        &body.replace("s:1\r\n", "s:1\n"),
        &body.replace("\r\n", "\n").replace("s:1\n", "s:1\r\n"),
        // Something after a delimiter.
        &body.replace("--b--", "--b x\r\n--b--"),
    ] {
        assert_eq!(read(body), None, "{body:?}");
    }
    for head in [
        "Content-Disposition: form-data; name*=utf-8''mount",
        "Content-Disposition: form-data; name=a; name=mount",
        "Content-Disposition: form-data; name=\"mo\\unt\"",
        "Content-Disposition: form-data; name",
        "Content-Disposition: form-data; name=\"mount\" x",
        "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=mount",
        "Content-Disposition: form-data; name=mount\r\nContent-Transfer-Encoding: base64",
    ] {
        let body = parts(&[(head, "s:1")]);
        assert_eq!(read(&body), None, "{head}");
    }
}

proptest! {
    #[test]
    fn no_form_panics(
        content_type in prop_oneof![
            Just(MULTIPART.to_owned()),
            "multipart/form-data;[ -~]{0,30}",
            "application/x-www-form-urlencoded",
        ],
        body in prop::collection::vec(
            prop_oneof![
                3 => Just(b"--b".to_vec()),
                2 => Just(b"--".to_vec()),
                3 => Just(b"\r\n".to_vec()),
                1 => Just(b"\n".to_vec()),
                2 => Just(b"Content-Disposition: form-data; name=\"mount\"".to_vec()),
                1 => prop::collection::vec(any::<u8>(), 0..9),
            ],
            0..20,
        ),
    ) {
        parse(&content_type, &body.concat());
    }

    #[test]
    fn every_value_is_read(
        boundary in "[a-zA-Z0-9'+_.-]{1,70}",
        values in prop::array::uniform3("[^\u{0}]{1,40}"),
        junk in "[a-z]{0,9}",
    ) {
        let names = ["digest", "mount", "from"];
        prop_assume!(!values.iter().any(|value| value.contains(&format!("--{boundary}"))));
        let mut body = format!("--{boundary}\r\n{}\r\n\r\n{junk}\r\n", named("other"));
        for (name, value) in names.iter().zip(&values) {
            body += &format!("--{boundary}\r\n{}\r\n\r\n{value}\r\n", named(name));
        }
        body += &format!("--{boundary}--\r\n");
        let content_type = format!("multipart/form-data; boundary=\"{boundary}\"");
        let [digest, mount, from] = values.map(Parameter::Is);
        prop_assert_eq!(
            parse(&content_type, body.as_bytes()),
            Some(UploadParameters { digest, mount, from })
        );
    }
}
