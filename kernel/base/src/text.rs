//! Writing text that comes from outside: escaped, and cut to a length a log line can take.

use core::fmt::{self, Write};

/// How many bytes of outside text a message shows.
const SHOWN: usize = 160;

/// Shows `0` in quotes, with control characters escaped, cut after [`SHOWN`] bytes.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Cut(self.0.escape_debug()))
    }
}

/// Shows what `0` shows, cut after [`SHOWN`] bytes with an ellipsis.
pub(crate) struct Cut<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Cut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alternate = f.alternate();
        let mut writer = CutWriter {
            out: f,
            left: SHOWN,
        };
        let written = if alternate {
            write!(writer, "{:#}", self.0)
        } else {
            write!(writer, "{}", self.0)
        };
        match written {
            Err(fmt::Error) if writer.left == 0 => f.write_str("..."),
            other => other,
        }
    }
}

/// Passes on so many bytes, then ends the writing with an error: what would write a megabyte
/// stops there.
struct CutWriter<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    left: usize,
}

impl Write for CutWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.left {
            self.left -= text.len();
            return self.out.write_str(text);
        }
        let end = text.floor_char_boundary(self.left);
        self.left = 0;
        self.out.write_str(&text[..end])?;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_quoted_and_escaped() {
        assert_eq!(
            Quoted("a\"b\u{1b}[0m\n").to_string(),
            "\"a\\\"b\\u{1b}[0m\\n\""
        );
        assert_eq!(Cut("x".repeat(SHOWN)).to_string(), "x".repeat(SHOWN));
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let text = format!("{}é and on", "x".repeat(SHOWN - 1));
        assert_eq!(
            Cut(text).to_string(),
            format!("{}...", "x".repeat(SHOWN - 1))
        );
    }
}
