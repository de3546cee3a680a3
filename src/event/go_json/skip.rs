//! Values that are checked but not read.

use super::fault::Fault;
use super::scanner::Scanner;

impl Scanner<'_> {
    /// Skips the next value, whatever it is. Does not recurse: a client chooses how deep
    /// values nest.
    pub(in crate::event) fn skip(&mut self) -> Result<(), Fault> {
        // The brackets that are still to come.
        let mut open = Vec::new();
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.enter()?;
                    // In ASCII, a closing bracket is two after the opening one.
                    let end = bracket + 2;
                    if self.peek() != Some(end) {
                        open.push(end);
                        if end == b'}' {
                            self.name()?;
                        }
                        continue;
                    }
                    self.leave();
                }
                Some(b'"') => drop(self.quoted()?),
                Some(b'-' | b'0'..=b'9') => drop(self.number()?),
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return Err(self.syntax()),
            }
            loop {
                let Some(&end) = open.last() else {
                    return Ok(());
                };
                match self.peek() {
                    Some(b',') => {
                        self.advance(1);
                        if end == b'}' {
                            self.name()?;
                        }
                        break;
                    }
                    Some(byte) if byte == end => {
                        self.leave();
                        open.pop();
                    }
                    _ => return Err(self.syntax()),
                }
            }
        }
    }
}
