//! A relay before a server that counts round trips, loses answers and cuts connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Default)]
struct State {
    lose: AtomicBool,
    /// The server spoke last.
    answered: AtomicBool,
    round_trips: AtomicUsize,
    cuts: watch::Sender<u64>,
}

pub(crate) struct Relay {
    pub(crate) port: u16,
    state: Arc<State>,
}

impl Relay {
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, state) = (listener.local_addr().unwrap().port(), Arc::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(relay(client, server, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    /// The next thing the server says is not passed on; the connection is cut instead.
    pub(crate) fn lose_the_next_answer(&self) {
        self.state.lose.store(true, Ordering::SeqCst);
    }

    pub(crate) fn cut(&self) {
        self.state.cuts.send_modify(|count| *count += 1);
    }

    /// How often the client spoke after the server did.
    pub(crate) fn round_trips(&self) -> usize {
        self.state.round_trips.load(Ordering::SeqCst)
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, state: Arc<State>) {
    let mut cuts = state.cuts.subscribe();
    let (mut asked, mut answered) = ([0; 16_384], [0; 16_384]);
    loop {
        tokio::select! {
            _ = cuts.changed() => return,
            read = client.read(&mut asked) => {
                let Ok(len @ 1..) = read else { return };
                if state.answered.swap(false, Ordering::SeqCst) {
                    state.round_trips.fetch_add(1, Ordering::SeqCst);
                }
                server.write_all(&asked[..len]).await.unwrap();
            }
            read = server.read(&mut answered) => {
                let Ok(len @ 1..) = read else { return };
                state.answered.store(true, Ordering::SeqCst);
                if state.lose.swap(false, Ordering::SeqCst) {
                    return;
                }
                if client.write_all(&answered[..len]).await.is_err() {
                    return;
                }
            }
        }
    }
}
