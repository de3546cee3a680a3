//! Guesses which word a misspelt one was meant to be, for the hints in errors.

/// Returns the word that is nearest to `text`. `None` if none is near enough.
pub(super) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > 40 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['_', '-'], "");
    let text = plain(text);
    let distance = |word: &'a str| (distance(&text, &plain(word)), word);
    let (distance, word) = words.map(distance).min()?;
    (distance <= 2 && distance * 3 <= word.len()).then_some(word)
}

/// Returns the number of characters to insert, delete or change (Levenshtein).
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested() {
        let known = ["threshold", "timeout", "url", "ignoredmediatypes"];
        for (text, meant) in [
            ("treshold", Some("threshold")),
            ("ignoredMediaTypes", Some("ignoredmediatypes")),
            ("ignored_media_types", Some("ignoredmediatypes")),
            ("URL", Some("url")),
            ("urls", Some("url")),
            ("color", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, known.into_iter()), meant, "{text}");
        }
    }
}
