//! A plan, as a picture: a row for each scheduler, a column for cores that are alike, and in it what
//! the scheduler gets there.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::{
    Color, DrawingArea, IntoDrawingArea, PathElement, RGBColor, Rectangle, SVGBackend, Text, WHITE,
};
use plotters::style::{FontStyle, IntoFont, TextStyle};
use vortex_sched_config::Plan;

use super::asks::{Gets, NEW, Row, alike, core_numbers, on_core, rows};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Pixels.
const MARGIN: i32 = 16;
const BOX_WIDTH: i32 = 300;
const COLUMN_WIDTH: i32 = 190;
const GAP: i32 = 28;
const HEAD_HEIGHT: i32 = 62;
const ROW_HEIGHT: i32 = 46;
const BAR_HEIGHT: i32 = 16;

const INK: RGBColor = RGBColor(31, 41, 55);
const FAINT: RGBColor = RGBColor(107, 114, 128);
const LINE: RGBColor = RGBColor(203, 213, 225);
const CORE: RGBColor = RGBColor(219, 234, 254);
const SCHEDULER: RGBColor = RGBColor(241, 245, 249);
const HOME: RGBColor = RGBColor(220, 252, 231);
const BAR: RGBColor = RGBColor(37, 99, 235);

const NOTE: &str = "A home runs its activity's threads, and its part of every resource without a \
                    scheduler. * while there is work that is no activity's";

/// The picture, as SVG.
///
/// # Errors
/// When it cannot be drawn.
pub(crate) fn svg(plan: &Plan, title: &str) -> Result<String> {
    let mut picture = String::new();
    draw(&mut picture, plan, title).map_err(|error| anyhow!("cannot draw {title}: {error}"))?;
    Ok(picture)
}

fn draw(picture: &mut String, plan: &Plan, title: &str) -> Outcome {
    let groups = alike(plan);
    let new = plan.home(None, NEW);
    let rows = rows(plan, &new);
    let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX / 1000);
    let (width, height) = (
        left_of(count(groups.len())) - GAP + MARGIN,
        top_of(count(rows.len())) + 2 * MARGIN,
    );
    let size = (u32::try_from(width)?, u32::try_from(height)?);
    let area = SVGBackend::with_string(picture, size).into_drawing_area();
    area.fill(&WHITE)?;
    write(&area, title, (MARGIN, MARGIN), Kind::Title)?;
    for (index, row) in rows.iter().enumerate() {
        scheduler(&area, row, top_of(count(index)))?;
    }
    // Lines first: the rest stands on them.
    for (index, group) in groups.iter().enumerate() {
        for (row_index, row) in rows.iter().enumerate() {
            if !on_core(plan, row, &rows, group[0]).is_empty() {
                let middle = top_of(count(row_index)) + (ROW_HEIGHT - 8) / 2;
                let asks = [
                    (MARGIN + BOX_WIDTH, middle),
                    (left_of(count(index)), middle),
                ];
                area.draw(&PathElement::new(asks, LINE.stroke_width(1)))?;
            }
        }
    }
    for (index, group) in groups.iter().enumerate() {
        let left = left_of(count(index));
        cores(&area, plan, group, left, top_of(count(rows.len())))?;
        for (index, row) in rows.iter().enumerate() {
            for gets in on_core(plan, row, &rows, group[0]) {
                edge(&area, &gets, left, top_of(count(index)))?;
            }
        }
    }
    write(&area, NOTE, (MARGIN, height - MARGIN - 4), Kind::Small)?;
    area.present()?;
    Ok(())
}

const fn top_of(row: i32) -> i32 {
    2 * MARGIN + 20 + HEAD_HEIGHT + row * ROW_HEIGHT
}

const fn left_of(column: i32) -> i32 {
    MARGIN + BOX_WIDTH + GAP + column * (COLUMN_WIDTH + GAP)
}

/// A scheduler's box.
fn scheduler(area: &Area<'_>, row: &Row<'_>, top: i32) -> Outcome {
    let fill = if row.is_home { HOME } else { SCHEDULER };
    let corners = [(MARGIN, top), (MARGIN + BOX_WIDTH, top + ROW_HEIGHT - 8)];
    area.draw(&Rectangle::new(corners, fill.filled()))?;
    area.draw(&Rectangle::new(corners, LINE.stroke_width(1)))?;
    let [algorithm, metric, sharing] = &row.describing;
    write(area, &row.name, (MARGIN + 8, top + 5), Kind::Name)?;
    let mut below = format!("{algorithm} by {metric}");
    if !sharing.is_empty() {
        below += &format!(", {sharing}");
    }
    write(area, &below, (MARGIN + 8, top + 21), Kind::Small)
}

/// The multiplexor of cores that are alike, and the line on which those stand that ask it.
fn cores(area: &Area<'_>, plan: &Plan, group: &[usize], left: i32, bottom: i32) -> Outcome {
    let top = top_of(0) - HEAD_HEIGHT;
    let corners = [(left, top), (left + COLUMN_WIDTH, top + HEAD_HEIGHT - 18)];
    area.draw(&Rectangle::new(corners, CORE.filled()))?;
    area.draw(&Rectangle::new(corners, LINE.stroke_width(1)))?;
    let rail = [(left, corners[1].1), (left, bottom - ROW_HEIGHT / 2)];
    area.draw(&PathElement::new(rail, LINE.stroke_width(2)))?;
    let name = match group {
        [_] => format!("core {}", core_numbers(plan, group)),
        _ => format!("cores {}, each", core_numbers(plan, group)),
    };
    write(area, &name, (left + 8, top + 6), Kind::Name)?;
    let algorithm = &plan.cores[group[0]].algorithm;
    write(area, algorithm, (left + 8, top + 24), Kind::Small)
}

/// What a scheduler gets on the cores whose line is at `left`.
fn edge(area: &Area<'_>, gets: &Gets, left: i32, top: i32) -> Outcome {
    let middle = top + (ROW_HEIGHT - 8) / 2;
    let mut text_at = left + 8;
    if let Some(part) = gets.part {
        let room = f64::from(COLUMN_WIDTH - 80);
        #[expect(clippy::cast_possible_truncation, reason = "a few pixels")]
        let length = (part.clamp(0.0, 1.0) * room).ceil() as i32;
        let corners = [
            (left + 2, middle - BAR_HEIGHT / 2),
            (left + 2 + length, middle + BAR_HEIGHT / 2),
        ];
        area.draw(&Rectangle::new(corners, BAR.filled()))?;
        text_at += length;
    }
    write(area, &gets.text, (text_at, middle - 14), Kind::Small)
}

#[derive(Clone, Copy)]
enum Kind {
    Title,
    Name,
    Small,
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), kind: Kind) -> Outcome {
    let (size, style, colour) = match kind {
        Kind::Title => (18, FontStyle::Bold, INK),
        Kind::Name => (13, FontStyle::Bold, INK),
        Kind::Small => (12, FontStyle::Normal, FAINT),
    };
    let font = ("sans-serif", size).into_font().style(style);
    // What a reader of SVG would stumble over is not for a file to say.
    let text = text.replace(char::is_control, "·");
    area.draw(&Text::new(text, at, TextStyle::from(font).color(&colour)))?;
    Ok(())
}
