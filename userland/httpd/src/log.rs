//! The log of requests, in the Common Log Format: who, when, what was asked, how it went, how many
//! bytes of the body were sent.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::response::Status;

/// Written in one go above this, in bytes.
const FULL: usize = 64 << 10;

/// A log. What is added is kept until it is flushed.
pub(crate) struct Log {
    sink: Option<Box<dyn Write>>,
    lines: String,
    /// The time in words, and the second that it is of.
    time: (u64, String),
}

impl Log {
    /// A log that is appended to a file, goes to the output (`-`), or nowhere.
    pub(crate) fn open(file: Option<&Path>) -> io::Result<Self> {
        let sink: Option<Box<dyn Write>> = match file {
            None => None,
            Some(file) if file.as_os_str() == "-" => Some(Box::new(io::stdout())),
            Some(file) => {
                let mut options = OpenOptions::new();
                Some(Box::new(options.create(true).append(true).open(file)?))
            }
        };
        Ok(Self {
            sink,
            lines: String::new(),
            time: (u64::MAX, String::new()),
        })
    }

    /// Whether what is added goes anywhere.
    pub(crate) const fn is_kept(&self) -> bool {
        self.sink.is_some()
    }

    /// Adds a request, which ended in this second since 1970.
    pub(crate) fn add(
        &mut self,
        client: IpAddr,
        line: &str,
        (status, sent): (Status, u64),
        seconds: u64,
    ) {
        if !self.is_kept() {
            return;
        }
        if self.time.0 != seconds {
            self.time = (seconds, time(seconds));
        }
        // Writing to a string does not fail.
        let _ = write!(self.lines, "{client} - - [{}] \"", self.time.1);
        quote(line, &mut self.lines);
        let _ = writeln!(self.lines, "\" {} {sent}", status.code());
        if self.lines.len() > FULL {
            self.flush();
        }
    }

    /// Writes what was added. Lines that cannot be written are lost: the service goes on.
    pub(crate) fn flush(&mut self) {
        if let Some(sink) = &mut self.sink
            && !self.lines.is_empty()
        {
            let _ = sink.write_all(self.lines.as_bytes());
            let _ = sink.flush();
            self.lines.clear();
        }
    }
}

/// Adds a line such that it cannot be taken for more or other than one. Most need no change, and one that
/// does is looked at character by character.
fn quote(line: &str, into: &mut String) {
    let is_plain = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\'' | b'\\');
    if line.bytes().all(is_plain) {
        into.push_str(line);
    } else {
        into.extend(line.escape_default());
    }
}

/// `10/Oct/2000:13:55:36 +0000`, from the seconds since 1970.
fn time(seconds: u64) -> String {
    // "Tue, 10 Oct 2000 13:55:36 GMT"
    let words = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    let mut parts = words.split(' ').skip(1);
    let mut part = || parts.next().unwrap_or_default();
    let (day, month, year, clock) = (part(), part(), part(), part());
    format!("{day}/{month}/{year}:{clock} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_quoted_as_if_it_were_looked_at_character_by_character() {
        for character in (0..=0x17f).filter_map(char::from_u32) {
            let line = format!("GET /a{character}b HTTP/1.0");
            let mut quoted = String::from("before ");
            quote(&line, &mut quoted);
            assert_eq!(quoted, format!("before {}", line.escape_default()));
        }
    }

    #[test]
    fn a_line_is_as_everybody_reads_it() {
        assert_eq!(time(971_186_136), "10/Oct/2000:13:55:36 +0000");
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut log = Log::open(Some(file.path())).unwrap();
        let client = IpAddr::from([10, 0, 2, 2]);
        log.add(
            client,
            "GET /a\"b HTTP/1.0",
            (Status::NotFound, 17),
            971_186_136,
        );
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
        log.flush();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(
            text.starts_with("10.0.2.2 - - [10/Oct/2000:13:55:36 "),
            "{text}"
        );
        assert!(
            text.ends_with("+0000] \"GET /a\\\"b HTTP/1.0\" 404 17\n"),
            "{text}"
        );
    }
}
