//! Says in plain words, and with a position, why a text is not well-formed XML.

use alloc::format;
use alloc::string::{String, ToString};

use roxmltree::{Document, Error, ParsingOptions};

use crate::finding::{Findings, Kind, Place, quote};
use crate::scan::Limits;

/// Parses a text that [`crate::scan`] has found to be within the limits.
pub(crate) fn document<'a>(
    text: &'a str,
    limits: &Limits,
    findings: &mut Findings,
) -> Option<Document<'a>> {
    let options = ParsingOptions {
        nodes_limit: limits.nodes,
        ..ParsingOptions::default()
    };
    match Document::parse_with_options(text, options) {
        Ok(document) => Some(document),
        Err(error) => {
            let start = offset(text, &error);
            let end = text[start..]
                .chars()
                .next()
                .map_or(start, |first| start + first.len_utf8());
            let (message, expected) = explain(&error);
            let place = Place::default();
            findings.fault_at(Kind::Syntax, place, Some(start..end), message, expected);
            None
        }
    }
}

/// The byte an error is about; the end of the text for one that has no position.
fn offset(text: &str, error: &Error) -> usize {
    let at = error.pos();
    let has_position = !matches!(
        error,
        Error::NoRootNode
            | Error::UnclosedRootNode
            | Error::DtdDetected
            | Error::NodesLimitReached
            | Error::AttributesLimitReached
            | Error::NamespacesLimitReached
            | Error::UnexpectedEndOfStream
    );
    if !has_position {
        return text.trim_end().len();
    }
    let mut line_start = 0;
    for _ in 1..at.row {
        line_start += text[line_start..].find('\n').map_or(0, |length| length + 1);
    }
    let column = usize::try_from(at.col).unwrap_or(1).saturating_sub(1);
    let line = &text[line_start..];
    line_start
        + line
            .char_indices()
            .nth(column)
            .map_or(line.len(), |(offset, _)| offset)
}

/// What is wrong, and what was expected.
fn explain(error: &Error) -> (String, String) {
    let (message, expected) = match error {
        Error::UnexpectedCloseTag(expected, actual, _) => {
            let message = match expected.as_str() {
                "" => format!("{} closes an element that is not open", tag(actual)),
                open => format!("{} closes {}", tag(actual), quote(&format!("<{open}>"))),
            };
            return (message, tag(expected));
        }
        Error::UnclosedRootNode => (
            "the file ends inside an element",
            "the closing tags of all open elements",
        ),
        Error::UnexpectedEndOfStream => ("the file ends in the middle of markup", "its end"),
        Error::NoRootNode => ("the file has no element", "`<schedulerconfig>`"),
        Error::DuplicatedAttribute(name, _) => {
            return (
                format!("attribute {} is there twice", quote(name)),
                "one".to_string(),
            );
        }
        Error::UnknownNamespace(prefix, _) | Error::DuplicatedNamespace(prefix, _) => {
            let message = format!("{} is a namespace prefix", quote(prefix));
            return (message, "names without a prefix and a colon".to_string());
        }
        Error::UnknownEntityReference(name, _) => {
            let message = format!("{} is not a known entity", quote(&format!("&{name};")));
            return (message, ENTITIES.to_string());
        }
        Error::MalformedEntityReference(_) => ("`&` begins no entity", ENTITIES),
        Error::InvalidAttributeValue(_) => ("`<` is in the value of an attribute", "`&lt;`"),
        Error::InvalidName(_) => (
            "this is no name",
            "a name that begins with a letter, right after the `<`",
        ),
        Error::NonXmlChar(character, _) => {
            let message = format!(
                "the character {} is not allowed",
                character.escape_default()
            );
            return (message, "printable text".to_string());
        }
        Error::InvalidComment(_) => (
            "a comment has `--` in it or ends with `-`",
            "`-->` only at its end",
        ),
        Error::InvalidCharacterData(_) => ("`]]>` is in a text", "`]]&gt;`"),
        Error::UnexpectedDeclaration(_) => (
            "`<?xml` is not at the beginning",
            "it before everything else, or not at all",
        ),
        Error::NodesLimitReached => ("there are too many nodes in the file", "fewer"),
        Error::UnknownToken(_) => (
            "this belongs to no element",
            "one root element and comments",
        ),
        other => return (plain(other), "well-formed XML".to_string()),
    };
    (message.to_string(), expected.to_string())
}

const ENTITIES: &str = "`&amp;` for `&`, `&lt;` for `<`, or one of `&gt;`, `&quot;`, `&apos;`";

fn tag(name: &str) -> String {
    quote(&format!("</{name}>"))
}

/// The parser's own words without its position.
fn plain(error: &Error) -> String {
    let text = error.to_string();
    let position = format!(" at {}", error.pos());
    text.replace(&position, "")
        .chars()
        .flat_map(escaped)
        .collect()
}

fn escaped(character: char) -> impl Iterator<Item = char> {
    let control = character.is_control();
    let escape = control.then(|| character.escape_default());
    escape
        .into_iter()
        .flatten()
        .chain((!control).then_some(character))
}
