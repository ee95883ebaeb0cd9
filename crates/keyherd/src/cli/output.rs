//! Standard output: text for people, JSON for programs, never both.
//!
//! Owns colour (on a terminal only, and not where NO_COLOR is set) and the closed pipe. Never writes to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde::Serialize;

use super::failure::{Failure, closed_output};
use crate::config::Environment;

/// A narrower terminal, or one that does not know its width, wraps lines itself.
const COLUMNS_MIN: u16 = 60;

/// Where a command's results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    color: bool,
}

impl Output {
    /// As the flags and the terminal want it.
    pub(crate) fn new(json: bool, environment: &Environment) -> Self {
        Self { json, color: io::stdout().is_terminal() && !environment.has("NO_COLOR") }
    }

    /// Whether a program reads.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// One JSON document on one line.
    pub(crate) fn json(self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(document)
            .map_err(|error| Failure::failed(format!("the answer cannot be written as JSON: {error}")))?;
        self.line(text)
    }

    /// One line.
    pub(crate) fn line(self, text: impl Display) -> Result<(), Failure> {
        self.raw(&format!("{text}\n"))
    }

    /// Text as it is, and out of here when this returns.
    pub(crate) fn raw(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| closed_output(&error))
    }

    /// A line for people; with `--json` nothing.
    pub(crate) fn say(self, text: impl Display) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.line(text) }
    }

    /// An empty table with its head, as wide as the terminal at most.
    pub(crate) fn table(self, head: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if table.width().is_some_and(|columns| columns >= COLUMNS_MIN) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        table.set_header(head.iter().map(|title| self.head(title)));
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
        table
    }

    /// A table's lines, without the blanks at their ends.
    pub(crate) fn show(self, table: &Table) -> Result<(), Failure> {
        for line in table.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    /// A credential's state, by its word.
    pub(crate) fn state(self, state: &str) -> Cell {
        let color = match state {
            "active" => Color::Green,
            "disabled" => Color::DarkGrey,
            "reauth_required" | "blocked" => Color::Red,
            _ => Color::Yellow,
        };
        self.colored(state, color)
    }

    /// A cell in a colour, where there are colours.
    pub(crate) fn colored(self, text: impl Display, color: Color) -> Cell {
        let cell = Cell::new(text);
        if self.color { cell.fg(color) } else { cell }
    }

    fn head(self, title: &str) -> Cell {
        let cell = Cell::new(title);
        if self.color { cell.add_attribute(Attribute::Bold) } else { cell }
    }
}
