//! What the screen is at: what is known of the machine, and what the keys have chosen.
//!
//! Key type: [`App`]. It reads no terminal and asks nobody: keys and answers are handed to it.

use std::ops::ControlFlow;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use vortex_statsd::Statistics;

use super::client::{Failure, Server};
use super::history::History;
use super::model::Rates;
use super::tables::{Order, Table, View};

/// The state of the screen.
pub(super) struct App {
    pub(super) server: Server,
    pub(super) view: View,
    pub(super) order: Order,
    /// Whether the keys are explained.
    pub(super) help: bool,
    /// The first row that is shown of the last table.
    pub(super) first: usize,
    /// What has happened between the last two answers.
    pub(super) rates: Option<Rates>,
    pub(super) history: History,
    /// Why there is no newer answer.
    pub(super) trouble: Option<String>,
    last: Statistics,
}

impl App {
    /// With the first answer.
    pub(super) fn new(server: Server, first: Statistics, order: Order) -> Self {
        Self {
            server,
            view: View::Overview,
            order,
            help: false,
            first: 0,
            rates: None,
            history: History::default(),
            trouble: None,
            last: first,
        }
    }

    /// Takes another answer, or the reason why there is none: then what was known is still shown.
    pub(super) fn take(&mut self, answer: Result<Statistics, Failure>) {
        match answer {
            Ok(now) => {
                let restarted = now.since_boot_ns < self.last.since_boot_ns;
                if let Some(rates) = Rates::between(&self.last, &now) {
                    self.history.push(&rates);
                    self.rates = Some(rates);
                } else if restarted {
                    self.rates = None;
                }
                self.last = now;
                self.trouble = None;
            }
            Err(failure) => self.trouble = Some(failure.to_string()),
        }
        self.first = self.first.min(self.last_row());
    }

    /// Does what a key stands for; breaks at one that ends.
    pub(super) fn key(&mut self, key: KeyEvent) -> ControlFlow<()> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return ControlFlow::Break(()),
            _ if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return ControlFlow::Break(()),
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('s') => self.order = next(&Order::ALL, self.order, 1),
            KeyCode::Tab | KeyCode::Right => self.turn_to(next(&View::ALL, self.view, 1)),
            KeyCode::BackTab | KeyCode::Left => {
                self.turn_to(next(&View::ALL, self.view, View::ALL.len() - 1));
            }
            KeyCode::Down => self.first = self.last_row().min(self.first + 1),
            KeyCode::Up => self.first = self.first.saturating_sub(1),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn turn_to(&mut self, view: View) {
        self.view = view;
        self.first = 0;
    }

    /// What the view shows.
    pub(super) fn tables(&self) -> Vec<Table> {
        let tables = |rates| self.view.tables(rates, self.order);
        self.rates.as_ref().map(tables).unwrap_or_default()
    }

    fn last_row(&self) -> usize {
        let tables = self.tables();
        tables
            .last()
            .map_or(0, |table| table.rows.len().saturating_sub(1))
    }
}

/// So many further in a list that goes round.
fn next<T: Copy + PartialEq>(all: &[T], current: T, further: usize) -> T {
    let at = all.iter().position(|one| *one == current).unwrap_or(0);
    all[(at + further) % all.len()]
}
