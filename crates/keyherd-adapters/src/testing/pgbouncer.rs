//! A private PgBouncer in transaction mode: consecutive transactions of one client run on different connections.

use std::fs;
use std::io;

use super::folder::{Folder, give, postgres_user};
use super::postgres::USER;
use super::process::{Process, Start, free_port};
use super::{PrivatePostgres, retry};

/// A `pgbouncer` before one PostgreSQL.
#[derive(Debug)]
pub struct PrivatePgBouncer {
    _process: Process,
    _folder: Folder,
    port: u16,
}

impl PrivatePgBouncer {
    /// Starts one on a free port; it lets everybody in.
    ///
    /// # Errors
    /// There is no `pgbouncer`, or it does not start.
    pub fn start(postgres: &PrivatePostgres) -> io::Result<Self> {
        retry(|| {
            let user = postgres_user()?;
            let (folder, port) = (Folder::new(user)?, free_port()?);
            let file = folder.path().join("pgbouncer.ini");
            fs::write(&file, settings(postgres.port(), port))?;
            give(&file, user)?;
            let file = file.to_string_lossy().into_owned();
            let command = ["/usr/sbin/pgbouncer", &file];
            let process = Process::start(&Start { command: &command, user, ready: "process up" })?;
            Ok(Self { _process: process, _folder: folder, port })
        })
    }

    /// The same database, through it.
    pub fn url(&self, database_url: &str) -> String {
        let database = database_url.rsplit('/').next().unwrap_or_default();
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }
}

fn settings(server: u16, port: u16) -> String {
    format!(
        "[databases]\n* = host=127.0.0.1 port={server} user={USER} password={password}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = transaction\nmax_client_conn = 500\ndefault_pool_size = 8\n",
        password = super::PASSWORD,
    )
}
