//! Faults and warnings, each with its line and a caret.

use std::io::Write;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use anyhow::Result;
use vortex_sched_config::{Finding, Location, Report};

/// So many findings are shown; whoever has more will not read them all at once.
const SHOWN: usize = 50;
/// Lines longer than this, in bytes, are not shown.
const LONGEST_LINE: usize = 500;

/// The control characters that the renderer lets through, which some terminals act on (C1).
fn is_terminal_control(character: char) -> bool {
    ('\u{80}'..='\u{9f}').contains(&character)
}

/// Stands for such a character; as many bytes, so that offsets stay right.
const HARMLESS: &str = "·";

/// Shows all faults and warnings of a file.
pub(super) fn report(
    out: &mut impl Write,
    name: &str,
    bytes: &[u8],
    report: &Report,
) -> Result<()> {
    findings(out, &Level::ERROR, name, bytes, &report.faults)?;
    findings(out, &Level::WARNING, name, bytes, &report.warnings)?;
    if report.omitted > 0 {
        super::print(out, &format!("{} more were not kept\n\n", report.omitted))?;
    }
    Ok(())
}

/// Shows the warnings of a file without faults.
pub(super) fn warnings(
    out: &mut impl Write,
    name: &str,
    bytes: &[u8],
    warnings: &[Finding],
) -> Result<()> {
    findings(out, &Level::WARNING, name, bytes, warnings)
}

fn findings(
    out: &mut impl Write,
    level: &Level<'static>,
    name: &str,
    bytes: &[u8],
    findings: &[Finding],
) -> Result<()> {
    let text = String::from_utf8_lossy(bytes).replace(is_terminal_control, HARMLESS);
    // Where bytes are replaced, offsets into the text are those into the bytes no more; but then
    // the one fault is about the first such byte, and up to there they are.
    for finding in findings.iter().take(SHOWN) {
        super::print(out, &format!("{}\n\n", render(level, name, &text, finding)))?;
    }
    if findings.len() > SHOWN {
        super::print(
            out,
            &format!("and {} more of this kind\n\n", findings.len() - SHOWN),
        )?;
    }
    Ok(())
}

fn render(level: &Level<'static>, name: &str, text: &str, finding: &Finding) -> String {
    let title = level.clone().primary_title(finding.message.as_str());
    let expected = Level::HELP.message(format!("expected {}", finding.expected));
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    let Some(at) = &finding.location else {
        return renderer.render(&[Group::with_title(title).element(expected)]);
    };
    let group = match line_of(text, at) {
        Some((line, start)) => {
            let within = |offset: usize| offset.saturating_sub(start).min(line.len());
            let caret = within(at.bytes.start)..within(at.bytes.end);
            Group::with_title(title).element(
                Snippet::source(line)
                    .path(name)
                    .line_start(at.line as usize)
                    .annotation(AnnotationKind::Primary.span(caret)),
            )
        }
        None => Group::with_title(title).element(
            Origin::path(name)
                .line(at.line as usize)
                .char_column(at.column as usize),
        ),
    };
    renderer.render(&[group.element(expected)])
}

/// The line in which a location begins, and its offset; `None` if it is too long to show or has
/// nothing in it.
fn line_of<'a>(text: &'a str, at: &Location) -> Option<(&'a str, usize)> {
    let before = text.get(..at.bytes.start)?;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or("");
    (!line.is_empty() && line.len() <= LONGEST_LINE).then_some((line, start))
}
