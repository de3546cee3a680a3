//! The constant parts of JSON texts: [`Fragment`].

/// A constant part of a JSON text, from within a string on, in every form that it may be
/// written in.
///
/// It is given in its compact form, without white space, and what is written before it
/// may be no string: then its first quote is left out, and its comma too where it is the
/// first of its object or array.
pub(in crate::event) struct Fragment {
    /// Compact, and indented in each depth. Padded, so that more than a fragment can be
    /// copied.
    pub(super) rows: [[u8; WIDTH]; ROWS],
    pub(super) lengths: [u8; ROWS],
    /// The greatest of the lengths.
    pub(super) longest: usize,
    /// How many more objects and arrays are open behind it than before it.
    pub(super) opens: isize,
    /// How many bytes of the next fragment are left out.
    pub(super) skip: usize,
}

/// The compact form, and one for each depth: the features of the platform of a reference
/// are the innermost, within eight objects and arrays of an envelope.
pub(super) const ROWS: usize = 10;
/// Bytes that a fragment is copied in, if it is short in all forms, and else. There are
/// more, because the first may be left out.
pub(super) const SHORT: usize = 48;
pub(super) const LONG: usize = 96;
const WIDTH: usize = 128;
const INDENT: usize = 3;

/// Makes a [`Fragment`] of its compact form.
macro_rules! fragment {
    ($compact:expr) => {
        const { &$crate::event::format::fragment::Fragment::new($compact) }
    };
}
pub(in crate::event) use fragment;

impl Fragment {
    pub(in crate::event) const fn new(compact: &str) -> Self {
        let mut fragment = Self {
            rows: [[b' '; WIDTH]; ROWS],
            lengths: [0; ROWS],
            longest: 0,
            opens: 0,
            skip: 0,
        };
        let mut row = 0;
        while row < ROWS {
            fragment.write(row, compact.as_bytes());
            let length = fragment.lengths[row] as usize;
            if length > fragment.longest {
                fragment.longest = length;
            }
            row += 1;
        }
        assert!(fragment.longest <= LONG);
        fragment
    }

    /// Writes one form, as Go's `json.MarshalIndent` does.
    const fn write(&mut self, row: usize, compact: &[u8]) {
        let (mut at, mut in_string, mut opens) = (0, true, 0);
        while at < compact.len() {
            let byte = compact[at];
            let is_last = at + 1 == compact.len();
            let (is_open, is_end) = (
                !in_string && matches!(byte, b'{' | b'['),
                !in_string && matches!(byte, b'}' | b']'),
            );
            if byte == b'"' {
                in_string = !in_string;
            }
            if is_end {
                opens -= 1;
                self.line_end(row, opens);
            }
            self.push(row, byte);
            if is_open {
                opens += 1;
            }
            // What an object or array begins with ends the line: it may be empty.
            if !in_string && (byte == b',' || (is_open && !is_last)) {
                self.line_end(row, opens);
            }
            if !in_string && byte == b':' && row > 0 {
                self.push(row, b' ');
            }
            at += 1;
        }
        self.opens = opens;
        self.skip = match compact[compact.len() - 1] {
            _ if in_string => 0,
            b'{' | b'[' => 2,
            _ => 1,
        };
    }

    /// Writes a line end and the spaces of a depth, unless the form is the compact one.
    const fn line_end(&mut self, row: usize, opens: isize) {
        if row == 0 {
            return;
        }
        self.push(row, b'\n');
        let mut spaces = (row as isize - 1 + opens) * INDENT as isize;
        while spaces > 0 {
            self.push(row, b' ');
            spaces -= 1;
        }
    }

    const fn push(&mut self, row: usize, byte: u8) {
        self.rows[row][self.lengths[row] as usize] = byte;
        self.lengths[row] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fragment: &Fragment, row: usize) -> &str {
        let length = usize::from(fragment.lengths[row]);
        str::from_utf8(&fragment.rows[row][..length]).unwrap()
    }

    #[test]
    fn a_fragment_is_indented_in_every_depth() {
        let fragment = fragment!("\"},\"a{,:\":{\"b\":\"");
        assert_eq!(form(fragment, 0), "\"},\"a{,:\":{\"b\":\"");
        let indented = "\"\n   },\n   \"a{,:\": {\n      \"b\": \"";
        assert_eq!(form(fragment, 3), indented);
        for row in 3..ROWS {
            let more = format!("\n{}", " ".repeat(INDENT * (row - 3)));
            assert_eq!(form(fragment, row), indented.replace('\n', &more));
        }
        assert_eq!((fragment.opens, fragment.skip), (0, 0));
    }

    #[test]
    fn what_follows_depends_on_the_end() {
        for (compact, opens, skip, indented) in [
            ("\",\"a\":\"", 0, 0, "\",\n   \"a\": \""),
            ("\",\"a\":", 0, 1, "\",\n   \"a\": "),
            ("\",\"a\":{", 1, 2, "\",\n   \"a\": {"),
            ("\",", 0, 1, "\",\n   "),
            ("\"}", -1, 1, "\"\n}"),
            ("\"[", 1, 2, "\"["),
        ] {
            let fragment = Fragment::new(compact);
            assert_eq!((fragment.opens, fragment.skip), (opens, skip), "{compact}");
            assert_eq!(form(&fragment, 2), indented);
        }
    }
}
