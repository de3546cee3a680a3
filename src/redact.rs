//! Keeps the user info of URLs out of everything that people read.

/// Splits an authority, or all of a URL after its scheme, into user info and
/// the rest. A password may contain an `@` that should have been encoded, so
/// the last one counts.
pub(crate) fn split_user_info(text: &str) -> (Option<&str>, &str) {
    match text.rsplit_once('@') {
        Some((user_info, rest)) => (Some(user_info), rest),
        None => (None, text),
    }
}

/// Returns the URL with `…` in place of its user info.
///
/// URLs that are not valid are redacted too: a password may contain a slash, or
/// the `@` may be missing, so that the password stands where a port would.
pub(crate) fn without_user_info(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(start);
    if let (Some(_), rest) = split_user_info(rest) {
        return [scheme, "…@", rest].concat();
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.split_once(':') {
        Some((host, port)) if start > 0 && !host.starts_with('[') && !is_number(port) => {
            [scheme, host, ":…"].concat()
        }
        _ => url.into(),
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_is_redacted_wherever_it_may_stand() {
        for (url, shown) in [
            ("https://r.example.com/e?x=1", "https://r.example.com/e?x=1"),
            ("https://me:secret@r/e", "https://…@r/e"),
            ("https://me:sec@ret@r/e", "https://…@r/e"),
            ("https://me:sec/ret@r/e", "https://…@r/e"),
            ("https://me:secret", "https://me:…"),
            ("https://r:5000/e", "https://r:5000/e"),
            ("https://[::1]:5000", "https://[::1]:5000"),
            ("me:secret@r", "…@r"),
            ("r:5000", "r:5000"),
            ("", ""),
        ] {
            assert_eq!(without_user_info(url), shown, "{url}");
        }
    }
}
