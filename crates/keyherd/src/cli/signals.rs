//! Signals that would end the process: deferred until what is in flight is committed.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::{Exit, Failure};

/// The signals that ask a process to end. From here on they no longer kill it.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal is gone.
    hang_up: Signal,
    /// Ctrl-\\.
    quit: Signal,
    /// Nobody means these for us, and their default is death: caught, and without effect.
    others: [Signal; 3],
}

/// One that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Came(rustix::process::Signal);

impl Came {
    /// Which one.
    pub(crate) fn signal(self) -> rustix::process::Signal {
        self.0
    }

    /// Whether a terminal sends it to all programs in front.
    pub(crate) fn is_typed(self) -> bool {
        use rustix::process::Signal;
        matches!(self.0, Signal::INT | Signal::QUIT | Signal::HUP)
    }
}

impl Signals {
    /// Begins to listen.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("signals cannot be caught: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            quit: listen(SignalKind::quit())?,
            others: [
                listen(SignalKind::user_defined1())?,
                listen(SignalKind::user_defined2())?,
                listen(SignalKind::alarm())?,
            ],
        })
    }

    /// The next one of all that are caught, for who passes them on.
    pub(crate) async fn any(&mut self) -> Came {
        use rustix::process::Signal;
        let [first, second, alarm] = &mut self.others;
        tokio::select! {
            _ = self.interrupt.recv() => Came(Signal::INT),
            _ = self.terminate.recv() => Came(Signal::TERM),
            _ = self.hang_up.recv() => Came(Signal::HUP),
            _ = self.quit.recv() => Came(Signal::QUIT),
            _ = first.recv() => Came(Signal::USR1),
            _ = second.recv() => Came(Signal::USR2),
            _ = alarm.recv() => Came(Signal::ALARM),
        }
    }

    /// The next one, as the exit it asks for.
    pub(crate) async fn next(&mut self) -> Exit {
        let number = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hang_up.recv() => SignalKind::hangup(),
            _ = self.quit.recv() => SignalKind::quit(),
        };
        Exit::Signal(u8::try_from(number.as_raw_value()).unwrap_or_default())
    }
}
