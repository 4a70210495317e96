//! Holds a document against the schema, and notes where everything stands.
//!
//! Afterwards the reader ([`crate::read`]) may take what it knows from the document and ignore the
//! rest: all that is unknown, missing, doubled or stray has been noted here.

use alloc::format;
use alloc::string::{String, ToString};
use core::ops::Range;

use roxmltree::Node;

use crate::finding::{Findings, Kind, Place, Spans, one_of, quote};
use crate::schema::{AttributeRule, ChildRule, Content, ElementRule, Occurs, ROOT};
use crate::value::trim;

/// Checks a whole document. Returns where its elements and attributes stand.
pub(crate) fn check(root: Node<'_, '_>, findings: &mut Findings) -> Spans {
    let mut walk = Walk {
        findings,
        spans: Spans::new(),
    };
    let place = Place::default();
    walk.spans.insert(place, start_tag(root));
    if root.tag_name().name() == ROOT.name && root.tag_name().namespace().is_none() {
        walk.element(root, &ROOT, place);
    } else {
        let (message, expected) = match root.tag_name().namespace() {
            Some(_) => (
                format!("{} is in a namespace", element(root)),
                WITHOUT_NAMESPACE.to_string(),
            ),
            None => (
                format!("the root element is {}", element(root)),
                format!("`<{}>`", ROOT.name),
            ),
        };
        walk.findings
            .fault(Kind::UnknownElement, place, message, expected);
    }
    walk.spans
}

/// What is expected of an element or attribute with an `xmlns`.
const WITHOUT_NAMESPACE: &str = "names without namespaces: no `xmlns`, no prefix and colon";

struct Walk<'a> {
    findings: &'a mut Findings,
    spans: Spans,
}

impl Walk<'_> {
    /// Checks an element of a known name. Calls itself no deeper than the schema goes.
    fn element(&mut self, node: Node<'_, '_>, rule: &'static ElementRule, place: Place) {
        self.attributes(node, rule, place);
        match &rule.content {
            Content::Elements(children) => {
                self.stray_text(node, place);
                self.children(node, rule, children, place);
            }
            Content::Text | Content::AnyText => {
                self.spans.insert(place, text_span(node));
                for child in node.children().filter(Node::is_element) {
                    let message =
                        format!("`<{}>` is in `<{}>`", child.tag_name().name(), rule.name);
                    self.stray(
                        Kind::UnknownElement,
                        place,
                        start_tag(child),
                        message,
                        "text only",
                    );
                }
                if matches!(rule.content, Content::Text) && trim(&text(node)).is_empty() {
                    let message = format!("`<{}>` is empty", rule.name);
                    self.findings
                        .fault(Kind::BadValue, place, message, "its text");
                }
            }
        }
    }

    fn attributes(&mut self, node: Node<'_, '_>, rule: &'static ElementRule, place: Place) {
        for attribute in node.attributes() {
            let known = rule.attributes.iter().find(|known| {
                known.name_in_file() == attribute.name() && attribute.namespace().is_none()
            });
            if let Some(known) = known {
                self.spans
                    .insert(place.field(known.name), attribute.range());
                continue;
            }
            let name = quote(attribute.name());
            let message = format!("{} has no attribute {name}", element(node));
            let known = rule.attributes.iter().map(AttributeRule::name_in_file);
            let expected = match &rule.content {
                Content::Elements(children)
                    if children
                        .iter()
                        .any(|child| child.element.name == attribute.name()) =>
                {
                    format!("an element, `<{}>`", attribute.name())
                }
                _ => one_of(known, "no attributes"),
            };
            self.stray(
                Kind::UnknownAttribute,
                place,
                attribute.range(),
                message,
                expected,
            );
        }
        for missing in rule
            .attributes
            .iter()
            .filter(|known| known.required && node.attribute(known.name_in_file()).is_none())
        {
            let name = missing.name_in_file();
            let message = format!("{} has no attribute `{name}`", element(node));
            let expected = format!("`<{} {name}=\"…\">`", rule.name);
            self.findings
                .fault(Kind::Missing, place.field(missing.name), message, expected);
        }
    }

    fn stray_text(&mut self, node: Node<'_, '_>, place: Place) {
        for text in node.children().filter(Node::is_text) {
            let stray = trim(text.text().unwrap_or(""));
            if !stray.is_empty() {
                let message = format!("the text {} is in {}", quote(stray), element(node));
                let span = trimmed(text);
                self.stray(
                    Kind::StrayText,
                    place,
                    span,
                    message,
                    "elements and comments only",
                );
            }
        }
    }

    fn children(
        &mut self,
        node: Node<'_, '_>,
        rule: &'static ElementRule,
        rules: &'static [ChildRule],
        place: Place,
    ) {
        for child in node.children().filter(Node::is_element) {
            let name = child.tag_name();
            let known = rules.iter().any(|rule| rule.element.name == name.name());
            if !known || name.namespace().is_some() {
                let message = format!("{} is not known in {}", element(child), element(node));
                let mut attributes = rule.attributes.iter().map(AttributeRule::name_in_file);
                let expected = match attributes.find(|known| *known == name.name()) {
                    Some(attribute) => format!("an attribute, `<{} {attribute}=\"…\">`", rule.name),
                    None => one_of(rules.iter().map(|rule| rule.element.name), "nothing"),
                };
                self.stray(
                    Kind::UnknownElement,
                    place,
                    start_tag(child),
                    message,
                    expected,
                );
            }
        }
        for rule in rules {
            self.occurrences(node, rule, place);
        }
    }

    /// Checks all children of one name.
    fn occurrences(&mut self, node: Node<'_, '_>, rule: &'static ChildRule, place: Place) {
        let name = rule.element.name;
        let mut found = 0;
        for child in named(node, name) {
            found += 1;
            let here = match rule.occurs {
                Occurs::Many => place.item(name, found - 1),
                _ => place.field(name),
            };
            if found > 1 && rule.occurs != Occurs::Many {
                let message = format!("{} has more than one `<{name}>`", element(node));
                self.stray(Kind::Doubled, here, start_tag(child), message, "one");
                continue;
            }
            self.spans.insert(here, start_tag(child));
            self.element(child, rule.element, here);
        }
        if found == 0 && rule.occurs == Occurs::Once {
            let message = format!("{} has no `<{name}>`", element(node));
            let expected = format!("`<{name}>…</{name}>` in it");
            self.findings
                .fault(Kind::Missing, place.field(name), message, expected);
        }
    }

    /// Notes something that should not be there. It makes no known value faulty.
    fn stray(
        &mut self,
        kind: Kind,
        place: Place,
        bytes: Range<usize>,
        message: String,
        expected: impl Into<String>,
    ) {
        self.findings
            .fault_at(kind, place, Some(bytes), message, expected);
    }
}

/// The children of that name, without a namespace.
pub(crate) fn named<'a, 'i>(node: Node<'a, 'i>, name: &str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| {
        child.is_element()
            && child.tag_name().name() == name
            && child.tag_name().namespace().is_none()
    })
}

/// All text directly inside an element, with comments left out.
pub(crate) fn text(node: Node<'_, '_>) -> String {
    node.children()
        .filter(Node::is_text)
        .filter_map(|text| text.text())
        .collect()
}

fn element(node: Node<'_, '_>) -> String {
    quote(&format!("<{}>", node.tag_name().name()))
}

/// The opening bracket and the name.
fn start_tag(node: Node<'_, '_>) -> Range<usize> {
    let range = node.range();
    let source = &node.document().input_text()[range.clone()];
    let name_end = source.find(|c: char| c.is_whitespace() || c == '>' || c == '/');
    range.start..range.start + name_end.unwrap_or(source.len())
}

/// The text of an element without the blanks around it; its start tag if there is none.
fn text_span(node: Node<'_, '_>) -> Range<usize> {
    let mut spans = node
        .children()
        .filter(Node::is_text)
        .map(trimmed)
        .filter(|span| !span.is_empty());
    match spans.next() {
        Some(first) => first.start..spans.next_back().unwrap_or(first).end,
        None => start_tag(node),
    }
}

/// The bytes of a text node without the blanks around them.
fn trimmed(node: Node<'_, '_>) -> Range<usize> {
    let range = node.range();
    let source = &node.document().input_text()[range.clone()];
    let start = range.start + (source.len() - trim_start(source).len());
    start..start + trim(source).len()
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}
