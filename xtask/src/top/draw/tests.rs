//! Pictures of the screen. `BLESS=1 cargo test -p xtask top::draw` writes down what is drawn now;
//! look at the differences before they are kept.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use vortex_statsd::Statistics;

use super::super::fixture;
use super::super::tables::Order;
use super::*;

mod svg;

fn app(seconds: impl IntoIterator<Item = u64>) -> App {
    let mut seconds = seconds.into_iter().map(fixture::at);
    let server = "127.0.0.1:8083".parse().unwrap();
    let mut app = App::new(server, seconds.next().unwrap(), Order::Cpu);
    seconds.for_each(|statistics| app.take(Ok(statistics)));
    app
}

fn screen(app: &App, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(app, frame.area(), frame.buffer_mut()))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The screen's characters.
fn text(buffer: &Buffer) -> String {
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    let row = |cells: &[ratatui::buffer::Cell]| -> String {
        cells.iter().map(ratatui::buffer::Cell::symbol).collect()
    };
    rows.map(|cells| format!("{}\n", row(cells).trim_end()))
        .collect()
}

fn press(app: &mut App, code: KeyCode) -> ControlFlow<()> {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/golden")
}

#[track_caller]
fn is_as_kept(path: &Path, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.display();
    assert!(
        kept == text,
        "{name} is not what is drawn (BLESS=1 writes it anew):\n{text}"
    );
}

#[test]
fn each_view_is_as_kept() {
    let mut app = app(30..=31);
    for view in View::ALL {
        app.view = view;
        let name = view.name().to_lowercase();
        is_as_kept(
            &folder().join(format!("{name}.txt")),
            &text(&screen(&app, 80, 24)),
        );
    }
}

#[test]
fn a_wide_screen_has_curves_bars_and_all_columns() {
    let drawn = text(&screen(&app(0..=90), 150, 50));
    is_as_kept(&folder().join("wide.txt"), &drawn);
    for words in [
        "CPU by activity",
        "█",
        "memory limit",
        "run p99",
        "batch (suspended)",
    ] {
        assert!(drawn.contains(words), "{words}: {drawn}");
    }
}

#[test]
fn the_picture_in_the_documentation_is_of_this_screen() {
    let picture = svg::picture(&screen(&app(0..=100), 150, 42));
    roxmltree::Document::parse(&picture).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/top.svg");
    is_as_kept(&path, &picture);
}

#[test]
fn help_explains_the_keys() {
    let mut app = app(30..=31);
    assert!(press(&mut app, KeyCode::Char('?')).is_continue());
    let drawn = text(&screen(&app, 80, 24));
    is_as_kept(&folder().join("help.txt"), &drawn);
    assert!(
        press(&mut app, KeyCode::Char('q')).is_continue(),
        "it goes back"
    );
    assert!(!app.help);
}

#[test]
fn keys_turn_sort_and_end() {
    let mut app = app(30..=31);
    for view in View::ALL.into_iter().skip(1).chain([View::Overview]) {
        assert!(press(&mut app, KeyCode::Tab).is_continue());
        assert_eq!(app.view, view);
    }
    assert!(press(&mut app, KeyCode::Left).is_continue());
    assert_eq!(app.view, View::Cores);
    for _ in 0..10 {
        assert!(press(&mut app, KeyCode::Down).is_continue());
    }
    assert_eq!(app.first, 3, "the last core");
    app.view = View::Activities;
    let names = |app: &App| -> Vec<String> {
        let tables = app.tables();
        tables[0]
            .rows
            .iter()
            .map(|row| row.cells[0].clone())
            .collect()
    };
    assert_eq!(names(&app)[..3], ["web50", "web33", "web17"]);
    for order in Order::ALL.into_iter().skip(1) {
        assert!(press(&mut app, KeyCode::Char('s')).is_continue());
        assert_eq!(app.order, order);
    }
    assert_eq!(names(&app)[..2], ["batch (suspended)", "infrastructure"]);
    for end in [KeyCode::Char('q'), KeyCode::Esc] {
        assert!(press(&mut app, end).is_break());
    }
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(app.key(interrupt).is_break());
}

/// What was known stays on the screen, beside why there is nothing newer.
#[test]
fn a_lost_machine_is_still_shown() {
    let mut app = app(30..=31);
    app.take(Err(super::super::client::Failure::Unreachable(
        std::io::ErrorKind::ConnectionRefused.into(),
    )));
    let drawn = text(&screen(&app, 80, 24));
    assert!(
        drawn.contains("nobody answers (connection refused); asking again"),
        "{drawn}"
    );
    assert!(drawn.contains("web50"), "{drawn}");
    app.take(Ok(fixture::at(2)));
    assert!(
        app.trouble.is_none() && app.rates.is_none(),
        "it was started anew"
    );
    app.take(Ok(fixture::at(3)));
    assert!(text(&screen(&app, 80, 24)).contains("up 0:00:03"));
}

#[test]
fn screens_of_any_size_are_drawn() {
    let mut app = app(0..=40);
    for view in View::ALL {
        app.view = view;
        for (width, height) in [(20, 5), (1, 1), (3, 40), (400, 2), (60, 36), (300, 100)] {
            for help in [false, true] {
                app.help = help;
                screen(&app, width, height);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Statistics that make no sense are drawn as well.
    #[test]
    fn nonsense_is_drawn(
        at in any::<prop::sample::Index>(),
        digits in "[0-9]{1,20}",
        name in "\\PC{0,40}|[\\x00-\\x1f]{0,9}",
        size in (1_u16..120, 1_u16..60),
    ) {
        let json = serde_json::to_string(&fixture::at(7)).unwrap();
        // Another number in one place, another name in one kind of place.
        let numbers: Vec<_> = json.match_indices(|c: char| c.is_ascii_digit()).collect();
        let from = numbers[at.index(numbers.len())].0;
        let name = serde_json::to_string(&name).unwrap();
        let damaged = format!("{}{digits}{}", &json[..from], &json[from + 1..]);
        let damaged = damaged.replace("\"web50\"", &name);
        let statistics: Result<Statistics, _> = serde_json::from_str(&damaged);
        prop_assume!(statistics.is_ok());
        let mut app = app(5..=6);
        app.take(Ok(statistics.unwrap()));
        for view in View::ALL {
            app.view = view;
            screen(&app, size.0, size.1);
        }
    }
}
