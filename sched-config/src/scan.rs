//! The first look at a file: bounds what the XML parser will be given.
//!
//! The kernel reads the file with little stack and a small heap, and whoever wrote the file is not
//! to be trusted. This pass is linear, holds nothing but a few counters, and refuses what would
//! make later passes slow or large: a long file, many nodes, deep nesting, an element with so
//! many attributes that looking for doubled ones takes long, and document types with their
//! entities. It judges nothing else: where markup is broken it stops, for the parser to say so.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use crate::finding::{Findings, Kind, Place};

/// How large a file may be. The defaults take a thousand activities on a hundred cores, and need at
/// most some 30 MiB of memory, for the worst file there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file; 1 MiB.
    pub bytes: usize,
    /// Elements, attributes, comments and texts together; 65,536.
    pub nodes: u32,
    /// Elements inside each other; 16. A valid file needs four.
    pub depth: u32,
    /// Attributes of one element; 16. A valid file needs one.
    pub attributes: u32,
    /// Faults and warnings that are kept; those beyond are only counted. 1,000.
    pub findings: usize,
    /// Entries of the lists in a [`crate::Plan`], where one line of a file can stand for many:
    /// 1,048,576.
    pub plan_entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            nodes: 1 << 16,
            depth: 16,
            attributes: 16,
            findings: 1000,
            plan_entries: 1 << 20,
        }
    }
}

/// The bytes as text, if they are few enough and UTF-8.
pub(crate) fn text<'a>(bytes: &'a [u8], limits: &Limits, findings: &mut Findings) -> &'a str {
    if bytes.len() > limits.bytes {
        let message = String::from("the file is too long");
        unreadable(
            findings,
            0..0,
            message,
            format!("at most {} bytes", limits.bytes),
        );
        return "";
    }
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.valid_up_to();
            let message = format!(
                "byte {} of the file, {:#04x}, is not UTF-8",
                valid, bytes[valid]
            );
            unreadable(findings, valid..valid, message, "a text file in UTF-8");
            // What comes before it, so that its line and column can be counted.
            core::str::from_utf8(&bytes[..valid]).unwrap_or("")
        }
    }
}

/// Refuses a text that goes beyond the limits.
pub(crate) fn scan(text: &str, limits: &Limits, findings: &mut Findings) {
    let mut scan = Scan {
        text,
        limits,
        nodes: 0,
        depth: 0,
    };
    let mut at = 0;
    while let Some(markup) = text[at..].find('<').map(|found| at + found) {
        scan.nodes += u32::from(markup > at);
        scan.nodes += u32::from(!text[markup..].starts_with("</"));
        match scan.markup(markup) {
            Ok(Some(end)) => at = end,
            Ok(None) => return,
            Err(refusal) => {
                let Refusal {
                    kind,
                    bytes,
                    message,
                    expected,
                } = refusal;
                findings.fault_at(kind, Place::default(), Some(bytes), message, expected);
                return;
            }
        }
    }
}

struct Scan<'a> {
    text: &'a str,
    limits: &'a Limits,
    nodes: u32,
    depth: u32,
}

/// Why a text goes no further.
struct Refusal {
    kind: Kind,
    bytes: Range<usize>,
    message: String,
    expected: String,
}

impl Scan<'_> {
    /// Looks at the markup that begins at `start`, and returns where it ends; `None` if it does
    /// not, or if it is broken.
    fn markup(&mut self, start: usize) -> Result<Option<usize>, Refusal> {
        let rest = &self.text[start..];
        let until = |end: &str| rest.find(end).map(|found| start + found + end.len());
        let end = if let Some(comment) = rest.strip_prefix("<!--") {
            comment
                .find("-->")
                .map(|found| start + "<!---->".len() + found)
        } else if rest.starts_with("<![CDATA[") {
            until("]]>")
        } else if rest.starts_with("<!") {
            return Err(Self::document_type(start));
        } else if rest.starts_with("<?") {
            until("?>")
        } else if rest.starts_with("</") {
            self.depth = self.depth.saturating_sub(1);
            until(">")
        } else {
            self.start_tag(start)?
        };
        if self.nodes > self.limits.nodes {
            return Err(self.too_much(start, "nodes in the file", self.limits.nodes));
        }
        Ok(end)
    }

    /// Counts the attributes of a start tag by their quotes.
    fn start_tag(&mut self, start: usize) -> Result<Option<usize>, Refusal> {
        let bytes = self.text.as_bytes();
        let mut attributes = 0;
        let mut at = start + 1;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'>' => {
                    self.depth += u32::from(bytes[at - 1] != b'/');
                    if self.depth > self.limits.depth {
                        let what = "elements inside each other";
                        return Err(self.too_much(start, what, self.limits.depth));
                    }
                    return Ok(Some(at + 1));
                }
                b'"' | b'\'' => {
                    attributes += 1;
                    self.nodes += 1;
                    if attributes > self.limits.attributes {
                        let what = "attributes of one element";
                        return Err(self.too_much(start, what, self.limits.attributes));
                    }
                    let quote = char::from(*byte);
                    let Some(length) = self.text[at + 1..].find(quote) else {
                        return Ok(None);
                    };
                    at += length + 2;
                }
                _ => at += 1,
            }
        }
        Ok(None)
    }

    fn document_type(start: usize) -> Refusal {
        Refusal {
            kind: Kind::Syntax,
            bytes: start..start + 2,
            message: String::from("document types and entities are not accepted"),
            expected: String::from("elements and comments only"),
        }
    }

    fn too_much(&self, start: usize, what: &str, limit: u32) -> Refusal {
        Refusal {
            kind: Kind::Unreadable,
            bytes: start..start + 1,
            message: format!("there are too many {what}"),
            expected: format!("at most {limit}"),
        }
    }
}

fn unreadable(
    findings: &mut Findings,
    bytes: Range<usize>,
    message: String,
    expected: impl Into<String>,
) {
    findings.fault_at(
        Kind::Unreadable,
        Place::default(),
        Some(bytes),
        message,
        expected,
    );
}
