//! A screen as a picture: each cell at its place, in the colours of a dark terminal.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Pixels.
const WIDTH: u16 = 8;
const HEIGHT: u16 = 17;
const MARGIN: u16 = 12;
/// From the top of a row to where letters stand.
const BASELINE: u16 = 13;

const GROUND: &str = "#11151c";
const INK: &str = "#d8dee6";

fn colour(colour: Color) -> &'static str {
    match colour {
        Color::Blue => "#5b9bff",
        Color::LightBlue => "#a9c7ff",
        Color::Yellow => "#ffb454",
        Color::Green => "#4fd09b",
        Color::Magenta => "#e07cc9",
        Color::Cyan => "#4cc9dc",
        Color::Red => "#ff6b6b",
        Color::DarkGray => "#6f7a87",
        _ => INK,
    }
}

pub(super) fn picture(buffer: &Buffer) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let (width, height) = (columns * WIDTH + 2 * MARGIN, rows * HEIGHT + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', \
         Menlo, Consolas, monospace\" font-size=\"13\" xml:space=\"preserve\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"{GROUND}\"/>\n"
    );
    for (row, cells) in (0..).zip(buffer.content.chunks(usize::from(columns))) {
        line(&mut svg, row, cells);
    }
    svg + "</svg>\n"
}

/// Cells that look alike are drawn together, over a box where they are reversed.
fn line(svg: &mut String, row: u16, cells: &[Cell]) {
    let top = MARGIN + row * HEIGHT;
    let mut column = 0;
    for run in cells.chunk_by(|a, b| (a.fg, a.modifier) == (b.fg, b.modifier)) {
        let text: String = run.iter().map(Cell::symbol).collect();
        let left = MARGIN + column * WIDTH;
        let length = u16::try_from(run.len()).unwrap();
        column += length;
        let mut ink = colour(run[0].fg);
        if run[0].modifier.contains(Modifier::REVERSED) {
            area(svg, (left, top), length, INK);
            ink = GROUND;
        }
        if text.chars().all(|character| character == '█') {
            area(svg, (left, top), length, ink);
            continue;
        }
        let weight = match run[0].modifier.contains(Modifier::BOLD) {
            true => " font-weight=\"bold\"",
            false => "",
        };
        for (before, words) in words(&text) {
            let left = left + before * WIDTH;
            let width = u16::try_from(words.chars().count()).unwrap() * WIDTH;
            let words = words.replace('&', "&amp;").replace('<', "&lt;");
            let _ = writeln!(
                svg,
                "<text x=\"{left}\" y=\"{}\" fill=\"{ink}\"{weight} \
                 textLength=\"{width}\">{words}</text>",
                top + BASELINE,
            );
        }
    }
}

/// Part of a row; a little stays free above and below.
fn area(svg: &mut String, (left, top): (u16, u16), columns: u16, fill: &str) {
    let (width, height) = (columns * WIDTH, HEIGHT - 2);
    let _ = writeln!(
        svg,
        "<rect x=\"{left}\" y=\"{}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>",
        top + 1,
    );
}

/// Words with one space between them, and how many columns are before: more spaces than one are none
/// for who draws the picture.
fn words(text: &str) -> Vec<(u16, &str)> {
    let mut all = Vec::new();
    let mut column = 0;
    for part in text.split("  ") {
        let words = part.trim_start();
        let length = |text: &str| u16::try_from(text.chars().count()).unwrap();
        if !words.trim().is_empty() {
            all.push((column + length(part) - length(words), words.trim_end()));
        }
        column += length(part) + 2;
    }
    all
}
