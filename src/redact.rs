//! Finds and hides user info in URLs, valid or not.

/// Splits an authority, or all of a URL after its scheme, into user info and
/// the rest. It splits at the last `@`, because a password may contain one that
/// should have been encoded.
pub(crate) fn split_user_info(text: &str) -> (Option<&str>, &str) {
    match text.rsplit_once('@') {
        Some((user_info, rest)) => (Some(user_info), rest),
        None => (None, text),
    }
}

/// Returns the user info of a URL as it is written. In a URL that is not valid,
/// for example because the password has a slash in it, it is everything that may
/// belong to it.
pub(crate) fn user_info(url: &str) -> Option<&str> {
    split_user_info(&url[start(url)..]).0
}

/// Returns a URL for messages: everything that may be user info is replaced by `…`,
/// even if the `@` is missing and the password stands in the place of the port.
pub(crate) fn without_user_info(url: &str) -> String {
    let (scheme, rest) = url.split_at(start(url));
    if let Some(user_info) = user_info(url) {
        return [scheme, "…", &rest[user_info.len()..]].concat();
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.split_once(':') {
        Some((host, port)) if !scheme.is_empty() && !host.starts_with('[') && !is_number(port) => {
            [scheme, host, ":…"].concat()
        }
        _ => url.into(),
    }
}

/// Returns a name for messages. If it is a URL by mistake, its user info is hidden.
pub(crate) fn shown_name(name: &str) -> std::borrow::Cow<'_, str> {
    match name.contains("://") {
        true => without_user_info(name).into(),
        false => name.into(),
    }
}

/// Returns the index after the scheme of a URL and its `://`.
fn start(url: &str) -> usize {
    url.find("://").map_or(0, |at| at + 3)
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
