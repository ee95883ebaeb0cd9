//! mitmdump, where it is there: `python3 -m venv target/mitmproxy && target/mitmproxy/bin/pip install mitmproxy`, or
//! `--mitmdump PATH`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use keyherd_bench::{Arguments, Outcome, Stopwatch};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::identity;
use crate::interceptor::STAND_IN;
use crate::place::{Place, Side};
use crate::upstream::TOKEN;

/// Between two tries to reach it while it starts.
const READY_POLL: Duration = Duration::from_millis(50);
/// By then it listens, or never will.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Where it is, if it is there.
pub(crate) fn found(arguments: &Arguments) -> Option<PathBuf> {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mitmproxy/bin/mitmdump");
    Some(arguments.value("mitmdump").map_or(usual, PathBuf::from)).filter(|path| path.exists())
}

/// Started with one header swapped, and nothing printed.
pub(crate) async fn start(program: &Path, place: &Place) -> Outcome<(Child, Side)> {
    let folder = place.folder().join("mitmproxy");
    std::fs::create_dir_all(&folder)?;
    let script = folder.join("swap.py");
    std::fs::write(
        &script,
        format!(
            "def request(flow):\n    headers = flow.request.headers\n    if headers.get('authorization') == 'Bearer {STAND_IN}':\n        \
             headers['authorization'] = 'Bearer {TOKEN}'\n"
        ),
    )?;
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
    let mut command = Command::new(program);
    command.args(["-q", "--listen-host", "127.0.0.1", "--listen-port", &address.port().to_string()]);
    command.arg("--set").arg(format!("confdir={}", folder.display()));
    let root = identity::root(place.folder());
    command.arg("--set").arg(format!("ssl_verify_upstream_trusted_ca={}", root.display()));
    let child = command.arg("-s").arg(script).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
    let pid = child.id().ok_or("mitmdump has ended")?;
    let ca = folder.join("mitmproxy-ca-cert.pem");
    ready(address, &ca).await?;
    Ok((child, place.other(pid, address, ca)))
}

async fn ready(address: SocketAddr, ca: &Path) -> Outcome {
    let watch = Stopwatch::start();
    while !ca.exists() || TcpStream::connect(address).await.is_err() {
        if watch.elapsed() > READY_WITHIN {
            return Err("mitmdump does not listen in time".into());
        }
        tokio::time::sleep(READY_POLL).await;
    }
    Ok(())
}
