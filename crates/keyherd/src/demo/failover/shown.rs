//! What the screen shows of scene 2.

use comfy_table::{Cell, CellAlignment};

use super::super::screen::Screen;
use super::{AT_ONCE, Failover, LIMIT, TASKS};
use crate::cli::Failure;

impl Screen {
    /// What is about to be seen.
    pub(super) fn failover_opening(&self) -> Result<(), Failure> {
        self.out.say(format_args!(
            "\nScene 2: fail over once\n\n\
             {TASKS} tasks have a request each for an API, {AT_ONCE} of them at once, and share a pool of two accounts. The API\n\
             refuses the first account after {LIMIT} requests.\n",
        ))
    }

    pub(super) fn failover_verdict(&self, seen: &Failover) -> Result<(), Failure> {
        if self.out.is_json() {
            return Ok(());
        }
        self.out.line(format_args!(
            "  {} asked,  {} served,  {} refused on the way,  {} rest written,  {} failover,  {} of {} processes moved on",
            seen.tasks,
            seen.served,
            seen.refused,
            seen.cooldowns,
            seen.failovers,
            seen.processes_moved,
            seen.processes,
        ))?;
        self.out.line("")?;
        let mut table = self.out.table(&["", "WITH KEYHERD", "EACH ON ITS OWN"]);
        for (what, with, without) in [
            ("requests", seen.tasks, seen.without.tasks),
            ("served", seen.served, seen.without.served),
            ("refused on the way", seen.refused, seen.without.refused),
        ] {
            table.add_row([Cell::new(what), Cell::new(with), Cell::new(without)]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        self.out.show(&table)?;
        self.out.line("")?;
        match seen.ok {
            true => self.out.line(format_args!(
                "However many find out, it happens once: {} were refused, 1 rest, 1 failover, and all moved on together.",
                seen.refused
            )),
            false => self.out.line("It did not hold: see the lines above."),
        }
    }
}
