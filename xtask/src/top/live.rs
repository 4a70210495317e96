//! The terminal: asks once a second, draws, and takes keys, until a key ends it.
//!
//! However it ends, the terminal is as before: at a return by [`Screen`], at a panic by the hook that
//! `ratatui` sets, at a signal by [`process::undo_at_the_end`].

use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use vortex_statsd::Statistics;
use xtask::process;

use super::app::App;
use super::client::{Failure, Server};
use super::tables::Order;
use super::{PERIOD, draw};

/// For how long keys are waited for before answers are looked for.
const KEYS: Duration = Duration::from_millis(50);

/// A terminal that shows the screen, until this is dropped.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> Result<Self> {
        process::undo_at_the_end(Some(ratatui::restore));
        let terminal = ratatui::try_init().context("this terminal cannot be drawn on")?;
        Ok(Self(terminal))
    }

    fn draw(&mut self, app: &App) -> io::Result<()> {
        self.0
            .draw(|frame| draw::draw(app, frame.area(), frame.buffer_mut()))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
        process::undo_at_the_end(None);
    }
}

/// Shows what `server` says, of which `first` is the first answer.
pub(super) fn run(server: Server, first: Statistics, order: Order) -> Result<()> {
    let answers = ask(server.clone());
    let mut app = App::new(server, first, order);
    let mut screen = Screen::open()?;
    loop {
        screen.draw(&app).context("cannot draw")?;
        // Until there is something new to draw.
        loop {
            if event::poll(KEYS).context("cannot read keys")? {
                match event::read().context("cannot read keys")? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        if let ControlFlow::Break(()) = app.key(key) {
                            return Ok(());
                        }
                    }
                    _ => {}
                }
                break;
            }
            if let Ok(answer) = answers.try_recv() {
                app.take(answer);
                break;
            }
        }
    }
}

type Answer = Result<Statistics, Failure>;

/// Asks again and again, beside who takes the keys; ends when nobody takes the answers.
fn ask(server: Server) -> Receiver<Answer> {
    let (sender, answers): (Sender<Answer>, _) = mpsc::channel();
    // Nobody sends to it: it is waited at.
    let (held, pause) = mpsc::channel::<()>();
    thread::spawn(move || {
        let _held = held;
        while let Err(RecvTimeoutError::Timeout) = pause.recv_timeout(PERIOD) {
            if sender.send(server.statistics()).is_err() {
                return;
            }
        }
    });
    answers
}
