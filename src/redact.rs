//! Hides user info in URLs.

/// A URL fit for messages: what may be user info is replaced by `…`, also in a
/// URL that is not valid because the password has a slash in it, or because the
/// `@` is missing and the password stands where the port should be.
pub(crate) fn without_user_info(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let rest = &url[start..];
    if let Some(at) = rest.rfind('@') {
        return [&url[..start], "…", &rest[at..]].concat();
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.split_once(':') {
        Some((host, port)) if start > 0 && !host.starts_with('[') && !is_number(port) => {
            [&url[..start], host, ":…"].concat()
        }
        _ => url.into(),
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
