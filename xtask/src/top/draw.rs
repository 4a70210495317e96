//! Draws the screen: a pure function of what it is at, onto cells.
//!
//! Key function: [`draw`]. From the top down: the views and the machine, curves of the activities
//! where there is room, tables, and what the keys do. A screen of any size is drawn as far as it goes.

use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Axis, Block, Cell, Chart, Clear, Dataset, GraphType, Paragraph, Row as Cells, Table as Grid,
    Widget,
};

use super::app::App;
use super::history::{CURVES, KEPT};
use super::model::Rates;
use super::tables::{Bar, Row, Table, View};
use super::text::{clock, count, percent};

/// One for each curve.
const PALETTE: [Color; CURVES] = [
    Color::Blue,
    Color::Yellow,
    Color::Green,
    Color::Magenta,
    Color::Cyan,
    Color::Red,
    Color::LightBlue,
];
/// Of the parts of a core's cycles.
const LEDGER: [(Color, &str); 4] = [
    (Color::Blue, "activities"),
    (Color::Yellow, "scheduling"),
    (Color::Red, "interrupts"),
    (Color::DarkGray, "idle"),
];
/// Columns between two.
const GAP: u16 = 2;
/// The longest name, in columns.
const LONGEST_NAME: usize = 28;
/// A bar's width, at least and at most.
const BAR: (u16, u16) = (12, 44);
/// Lines of the curves, and from what height of the screen on there are any.
const CHART: u16 = 12;
const HIGH: u16 = 36;

const TITLE: Style = Style::new().add_modifier(Modifier::BOLD);
const QUIET: Style = Style::new().fg(Color::DarkGray);
const TROUBLE: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

/// Draws all of it.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let [head, machine, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    views(app, head, buffer);
    state(app, machine, buffer);
    match &app.rates {
        Some(_) => contents(app, body, buffer),
        None => Paragraph::new("measuring for a second …").render(body, buffer),
    }
    keys(app, foot, buffer);
    if app.help {
        help(body, buffer);
    }
}

fn views(app: &App, area: Rect, buffer: &mut Buffer) {
    let mut spans = vec![Span::styled("Vortex", TITLE)];
    for view in View::ALL {
        let style = match view == app.view {
            true => TITLE.add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        spans.push(Span::raw(" "));
        spans.push(Span::styled(format!(" {} ", view.name()), style));
    }
    Line::from(spans).render(area, buffer);
}

/// What there is to say of the machine as a whole, or why nothing new.
fn state(app: &App, area: Rect, buffer: &mut Buffer) {
    let line = match (&app.trouble, &app.rates) {
        (Some(trouble), _) => {
            let words = format!("{}: {trouble}; asking again", app.server);
            Line::styled(words, TROUBLE)
        }
        (None, Some(rates)) => Line::styled(summary(app, rates), QUIET),
        (None, None) => Line::styled(app.server.to_string(), QUIET),
    };
    line.render(area, buffer);
}

fn summary(app: &App, rates: &Rates) -> String {
    let dropped: u64 = rates
        .dropped
        .iter()
        .fold(0, |sum, (_, count)| sum.saturating_add(*count));
    format!(
        "{} · up {} · cores: {}, {} busy · packets dropped: {}",
        app.server,
        clock(rates.up),
        rates.cores.len(),
        percent(rates.busy()),
        count(dropped as f64),
    )
}

fn keys(app: &App, area: Rect, buffer: &mut Buffer) {
    let order = app.order.name();
    let words = format!("q ends · ←→ view · ↑↓ rows · s sorts by: {order} · ? help");
    Line::styled(words, QUIET).render(area, buffer);
}

/// The tables, each as high as its rows; what does not fit is cut from the last.
fn contents(app: &App, area: Rect, buffer: &mut Buffer) {
    let mut area = area;
    let shows_curves = matches!(app.view, View::Overview | View::Activities);
    if shows_curves && area.height >= HIGH {
        let [above, below] =
            Layout::vertical([Constraint::Length(CHART), Constraint::Min(0)]).areas(area);
        curves(app, above, buffer);
        area = below;
    }
    let tables = app.tables();
    let last = tables.len().saturating_sub(1);
    for (number, table) in tables.iter().enumerate() {
        // The others together leave the last one some rows.
        let rows = u16::try_from(table.rows.len()).unwrap_or(u16::MAX);
        let most = if number == last {
            area.height
        } else {
            area.height / 2
        };
        let [above, below] = Layout::vertical([
            Constraint::Length(rows.saturating_add(3).min(most)),
            Constraint::Min(0),
        ])
        .areas(area);
        let first = if number == last { app.first } else { 0 };
        grid(app, table, first, above, buffer);
        area = below;
    }
}

/// The activities' parts of the processors over the last minutes.
fn curves(app: &App, area: Rect, buffer: &mut Buffer) {
    let curves = app.history.curves();
    let datasets = curves.iter().map(|(number, values)| {
        Dataset::default()
            .graph_type(GraphType::Line)
            .marker(Marker::Braille)
            .style(Style::new().fg(PALETTE[*number]))
            .data(values)
    });
    let [title, chart] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    Line::styled("CPU by activity, of all cores", TITLE).render(title, buffer);
    let seconds = Axis::default()
        .bounds([-KEPT, 0.0])
        .labels([format!("−{KEPT} s"), "now".to_owned()])
        .style(QUIET);
    let parts = Axis::default()
        .bounds([0.0, 100.0])
        .labels(["0 %", "50 %", "100 %"])
        .style(QUIET);
    Chart::new(datasets.collect())
        .x_axis(seconds)
        .y_axis(parts)
        .legend_position(None)
        .render(chart, buffer);
}

/// The widths of the columns that fit, and of the bars behind them.
fn widths(table: &Table, room: u16) -> Vec<Constraint> {
    let mut left = room;
    let mut widths = Vec::new();
    for (number, column) in table.columns.iter().enumerate() {
        let cells = table
            .rows
            .iter()
            .map(|row| Span::raw(&*row.cells[number]).width());
        let width = cells.fold(column.heading.len().max(column.least), usize::max);
        let width =
            u16::try_from(width.min(LONGEST_NAME)).unwrap_or(0) + 2 * u16::from(number == 0);
        if number > 0 && width > left {
            break;
        }
        widths.push(Constraint::Length(width.min(left)));
        left = left.saturating_sub(width + GAP);
    }
    let all_fit = widths.len() == table.columns.len();
    if all_fit && left >= BAR.0 && table.rows.iter().any(|row| row.bar != Bar::None) {
        widths.push(Constraint::Length(left.min(BAR.1)));
    }
    widths
}

fn grid(app: &App, table: &Table, first: usize, area: Rect, buffer: &mut Buffer) {
    let [title, below] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    Line::styled(table.title, TITLE).render(title, buffer);
    let widths = widths(table, area.width);
    let shown = widths.len().min(table.columns.len());
    let bar_width = match widths.get(table.columns.len()) {
        Some(Constraint::Length(width)) => usize::from(*width),
        _ => 0,
    };
    let mut headings: Vec<Cell<'_>> = (table.columns[..shown].iter().enumerate())
        .map(|(number, column)| cell(number, &indented(number, column.heading), None))
        .collect();
    if bar_width > 0 {
        headings.push(Cell::from(legend(table)));
    }
    let rows = table.rows.iter().skip(first);
    let rows = rows.map(|row| cells(app, row, shown, bar_width));
    Grid::new(rows, widths)
        .header(Cells::new(headings).style(QUIET))
        .column_spacing(GAP)
        .render(below, buffer);
}

/// Names stand behind the mark of their colour.
fn indented(number: usize, text: &str) -> String {
    match number {
        0 => format!("  {text}"),
        _ => text.to_owned(),
    }
}

fn cell<'a>(number: usize, text: &str, mark: Option<Color>) -> Cell<'a> {
    if let Some(mark) = mark {
        let mark = Span::styled("■ ", Style::new().fg(mark));
        return Cell::from(Line::from(vec![mark, Span::raw(text.to_owned())]));
    }
    let alignment = match number {
        0 => Alignment::Left,
        _ => Alignment::Right,
    };
    Cell::from(Line::raw(text.to_owned()).alignment(alignment))
}

fn cells<'a>(app: &App, row: &Row, shown: usize, bar_width: usize) -> Cells<'a> {
    let curve = row.curve.as_ref().and_then(|name| app.history.curve(name));
    let colour = curve.map(|number| PALETTE[number]);
    let mut cells: Vec<Cell<'a>> = (row.cells[..shown].iter().enumerate())
        .map(|(number, text)| match (number, colour) {
            (0, Some(colour)) => cell(0, text, Some(colour)),
            _ => cell(number, &indented(number, text), None),
        })
        .collect();
    if bar_width > 0 {
        cells.push(Cell::from(bar(
            row.bar,
            bar_width,
            colour.unwrap_or(Color::Gray),
        )));
    }
    let style = if row.quiet { QUIET } else { Style::new() };
    Cells::new(cells).style(style)
}

/// What the bars of a table are.
fn legend<'a>(table: &Table) -> Line<'a> {
    match table
        .rows
        .iter()
        .map(|row| row.bar)
        .find(|bar| *bar != Bar::None)
    {
        Some(Bar::Parts(_)) => {
            let part = |(colour, words): (Color, &'a str)| {
                Span::styled(format!("{words} "), Style::new().fg(colour))
            };
            Line::from_iter(LEDGER.map(part))
        }
        _ => Line::raw("received, and │ entitled to"),
    }
}

/// So many of the columns of a bar.
fn columns(part: f64, width: usize) -> usize {
    // The conversion takes what is out of bounds to the nearest bound.
    ((part * width as f64).round() as usize).min(width)
}

fn bar<'a>(bar: Bar, width: usize, colour: Color) -> Line<'a> {
    match bar {
        Bar::None => Line::default(),
        Bar::Share { received, entitled } => {
            let filled = columns(received, width);
            let mark = columns(entitled, width).min(width - 1);
            Line::from_iter((0..width).map(|at| {
                let (text, colour) = match at {
                    _ if at == mark => ("│", Color::Reset),
                    _ if at < filled => ("█", colour),
                    _ => ("·", Color::DarkGray),
                };
                Span::styled(text, Style::new().fg(colour))
            }))
        }
        Bar::Parts(parts) => {
            let mut sum = 0.0;
            let mut from = 0;
            Line::from_iter(parts.into_iter().zip(LEDGER).map(|(part, (colour, _))| {
                sum += part;
                let to = columns(sum, width).max(from);
                let text = if colour == Color::DarkGray {
                    "·"
                } else {
                    "█"
                };
                let span = Span::styled(text.repeat(to - from), Style::new().fg(colour));
                from = to;
                span
            }))
        }
    }
}

const HELP: [(&str, &str); 10] = [
    ("Tab → ←", "the next view, the one before"),
    ("↑ ↓", "rows that do not fit"),
    ("s", "sorts by something else"),
    ("q Esc Ctrl-C", "ends"),
    ("received", "part of the CPU time of activities that ran"),
    ("entitled", "the same, by weight"),
    ("CPU", "part of all cores"),
    ("lost cycles", "in no account, since the start"),
    ("wait", "at most so long from sending to execution"),
    ("run", "at most so long in execution"),
];

fn help(area: Rect, buffer: &mut Buffer) {
    let lines = HELP.map(|(what, words)| {
        Line::from(vec![
            Span::styled(format!(" {what:<13}"), TITLE),
            Span::raw(words),
        ])
    });
    let height = u16::try_from(HELP.len()).unwrap_or(0) + 2;
    let shown = area.intersection(Rect {
        x: area.x + area.width.saturating_sub(62) / 2,
        y: area.y + area.height.saturating_sub(height) / 2,
        width: 62,
        height,
    });
    Clear.render(shown, buffer);
    let block = Block::bordered().title(" Help: any key goes back ");
    Paragraph::new(lines.to_vec())
        .block(block)
        .render(shown, buffer);
}

#[cfg(test)]
mod tests;
