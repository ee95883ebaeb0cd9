//! A private PostgreSQL: a copy of one cluster that is made once in a process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use super::folder::{Folder, give, postgres_user};
use super::process::{Process, Start, free_port, run};
use super::{PASSWORD, ServerCertificate, retry};

/// The cluster's superuser.
pub(super) const USER: &str = "keyherd";

/// What a private PostgreSQL is like.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Commits reach the disk: for benches, and where the machine's end is played.
    pub fsync: bool,
    /// It wants [`PASSWORD`].
    pub password: bool,
    /// It speaks TLS to those who ask for it.
    pub tls: Option<ServerCertificate>,
    /// Lines of postgresql.conf, such as `max_connections = 300`.
    pub settings: Vec<String>,
}

/// A PostgreSQL server of its own, on the loopback only.
#[derive(Debug)]
pub struct PrivatePostgres {
    process: Option<Process>,
    options: PostgresOptions,
    port: u16,
    folder: Folder,
}

impl PrivatePostgres {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or it does not start.
    pub fn start(options: PostgresOptions) -> io::Result<Self> {
        let folder = copied()?;
        settle(folder.path(), &options)?;
        let mut server = Self { process: None, options, port: 0, folder };
        retry(|| {
            server.port = free_port()?;
            server.launch()
        })?;
        Ok(server)
    }

    /// The one that tests of this process share, which takes each of them only a [`PrivatePostgres::database`]: nothing
    /// reaches the disk, nobody is asked for a password, and it is never killed.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or it does not start.
    pub fn shared() -> io::Result<&'static Self> {
        static SHARED: OnceLock<Result<PrivatePostgres, String>> = OnceLock::new();
        let settings = vec!["max_connections = 300".to_owned()];
        let options = PostgresOptions { settings, ..PostgresOptions::default() };
        let shared = SHARED.get_or_init(|| Self::start(options).map_err(|error| error.to_string()));
        shared.as_ref().map_err(|problem| io::Error::other(problem.as_str()))
    }

    /// Makes an empty database, and says where it is: for `--database-url`.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn database(&self) -> io::Result<String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("d{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.tell("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    /// Where a database is.
    pub fn url(&self, database: &str) -> String {
        let password = if self.options.password { format!(":{PASSWORD}") } else { String::new() };
        format!("postgres://{USER}{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Has `psql` run a statement as the superuser.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn tell(&self, database: &str, statement: &str) -> io::Result<()> {
        let psql = program("psql")?;
        let url = self.url(database);
        run(&[&psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", statement], None)
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's main process, where it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Kills all its processes with signal 9, as if its machine had gone.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it in good order, cutting its connections.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn stop(&mut self) -> io::Result<()> {
        // "Fast shutdown": it does not wait for its clients.
        self.process.take().map_or(Ok(()), |process| process.end(Signal::INT))
    }

    /// Starts it again on the same port, with what it had committed; kills it before, if it runs.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        // What is left of the killed one may keep its memory for a moment.
        retry(|| self.launch())
    }

    /// Stops it from answering: connections stay open and nothing comes.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    fn launch(&mut self) -> io::Result<()> {
        let (program, port) = (program("postgres")?, self.port.to_string());
        let folder = self.folder.path().to_string_lossy();
        let ready = "database system is ready to accept connections";
        let command = [&*program, "-D", &folder, "-p", &port];
        self.process = Some(Process::start(&Start { command: &command, user: postgres_user()?, ready })?);
        Ok(())
    }
}

/// A program of the newest PostgreSQL that is installed.
fn program(name: &str) -> io::Result<String> {
    let versions = fs::read_dir("/usr/lib/postgresql").map_err(|_| io::Error::other("install postgresql"))?;
    let versions = versions.filter_map(Result::ok).map(|version| version.path().join("bin").join(name));
    let newest = versions.filter(|path| path.exists()).max_by_key(|path| version_of(path));
    let newest = newest.ok_or_else(|| io::Error::other(format!("no {name} in /usr/lib/postgresql")))?;
    Ok(newest.to_string_lossy().into_owned())
}

fn version_of(path: &Path) -> u32 {
    let version = path.components().nth(4).and_then(|part| part.as_os_str().to_str()?.parse().ok());
    version.unwrap_or(0)
}

/// A copy of the cluster that is made once, which takes most of a second.
fn copied() -> io::Result<Folder> {
    static TEMPLATE: OnceLock<Result<Folder, String>> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| made().map_err(|error| error.to_string()));
    let template = template.as_ref().map_err(|problem| io::Error::other(problem.as_str()))?;
    let copy = Folder::unmade()?;
    let (from, to) = (template.path().to_string_lossy(), copy.path().to_string_lossy());
    run(&["cp", "-a", &from, &to], None)?;
    Ok(copy)
}

fn made() -> io::Result<Folder> {
    let user = postgres_user()?;
    let (folder, secret) = (Folder::new(user)?, Folder::new(user)?);
    let password: PathBuf = secret.path().join("password");
    fs::write(&password, PASSWORD)?;
    give(&password, user)?;
    let (initdb, pwfile) = (program("initdb")?, format!("--pwfile={}", password.display()));
    let folder_name = folder.path().to_string_lossy().into_owned();
    let words = [
        &*initdb,
        "-D",
        &folder_name,
        "-U",
        USER,
        &pwfile,
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--locale=C",
    ];
    run(&[&words[..], &["--no-sync"]].concat(), user)?;
    Ok(folder)
}

/// Writes what makes this copy different.
fn settle(folder: &Path, options: &PostgresOptions) -> io::Result<()> {
    let user = postgres_user()?;
    let method = if options.password { "scram-sha-256" } else { "trust" };
    fs::write(folder.join("pg_hba.conf"), format!("host all all 127.0.0.1/32 {method}\n"))?;
    let on = |flag: bool| if flag { "on" } else { "off" };
    let mut settings = vec![
        "listen_addresses = '127.0.0.1'".to_owned(),
        "unix_socket_directories = ''".to_owned(),
        format!("fsync = {0}\nsynchronous_commit = {0}\nfull_page_writes = {0}", on(options.fsync)),
        format!("ssl = {}", on(options.tls.is_some())),
    ];
    settings.extend(options.settings.iter().cloned());
    if let Some(tls) = &options.tls {
        for (from, name) in [(&tls.certificate, "server.crt"), (&tls.key, "server.key")] {
            let copy = folder.join(name);
            fs::copy(from, &copy)?;
            fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            give(&copy, user)?;
        }
    }
    let file = folder.join("postgresql.auto.conf");
    fs::write(&file, settings.join("\n") + "\n")
}
