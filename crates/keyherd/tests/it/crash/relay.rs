//! A relay between a host and one of its servers, which can be cut, stalled, or made to lose answers.

use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How a COMMIT ends as it is asked for, and as it is answered; what begins a transaction reads on.
const COMMIT: &[u8] = b"COMMIT\0";
const ROLLBACK: &[u8] = b"ROLLBACK\0";

/// What it does with what passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Passes it on.
    Whole,
    /// Closes connections, and new ones at once.
    Cut,
    /// Keeps connections, takes new ones, and passes nothing on until it is another one.
    Stalled,
    /// Passes on what is asked, and nothing of what is answered; closes the connection afterwards.
    Deaf,
    /// Passes everything on, but what PostgreSQL answers to a COMMIT when it has committed: then it closes the connection.
    CommitLost,
}

/// It relays as long as it lives.
pub(super) struct Relay {
    port: u16,
    line: watch::Sender<Line>,
}

impl Relay {
    /// Before a server on the loopback.
    pub(super) fn before(server: u16) -> Self {
        let line = watch::Sender::new(Line::Whole);
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let given = line.subscribe();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(server, given, tell));
        });
        Self { port: told.recv().unwrap().port(), line }
    }

    /// The same URL, through it.
    pub(super) fn through(&self, url: &str) -> String {
        let (host, rest) = url.rsplit_once(':').unwrap();
        let (_, path) = rest.split_once('/').unwrap();
        format!("{host}:{}/{path}", self.port)
    }

    pub(super) fn becomes(&self, line: Line) {
        self.line.send_replace(line);
    }
}

/// Until the relay is dropped.
async fn serve(server: u16, mut line: watch::Receiver<Line>, tell: SyncSender<SocketAddr>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    tell.send(listener.local_addr().unwrap()).unwrap();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let client = accepted.unwrap().0;
                tokio::spawn(connect(client, server, line.clone()));
            }
            changed = line.changed() => if changed.is_err() { return },
        }
    }
}

async fn connect(client: TcpStream, server: u16, mut line: watch::Receiver<Line>) {
    if line.wait_for(|line| *line != Line::Stalled).await.is_err() || *line.borrow() == Line::Cut {
        return;
    }
    // A server that is down closes the connection.
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let _ = relay(client, server, line).await;
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    mut line: watch::Receiver<Line>,
) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 16_384], vec![0; 16_384]);
    let mut was_deaf = false;
    loop {
        let now = *line.borrow_and_update();
        if now == Line::Cut || (was_deaf && now != Line::Deaf) {
            return Ok(());
        }
        was_deaf = now == Line::Deaf;
        let passes = now != Line::Stalled;
        tokio::select! {
            changed = line.changed() => if changed.is_err() { return Ok(()) },
            read = client.read(&mut asked), if passes => match read? {
                0 => return Ok(()),
                len => {
                    server.write_all(&asked[..len]).await?;
                    if now == Line::CommitLost && holds(&asked[..len], COMMIT) {
                        return committed(&mut server).await;
                    }
                }
            },
            read = server.read(&mut answered), if passes => match read? {
                0 => return Ok(()),
                len if was_deaf => { let _lost = len; }
                len => client.write_all(&answered[..len]).await?,
            },
        }
    }
}

/// Reads what is lost, until the transaction is over.
async fn committed(server: &mut TcpStream) -> std::io::Result<()> {
    let mut lost = Vec::new();
    while !holds(&lost, COMMIT) && !holds(&lost, ROLLBACK) {
        if server.read_buf(&mut lost).await? == 0 {
            break;
        }
    }
    Ok(())
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
