//! A private Redis: in memory only, so that its restart forgets everything.

use std::io;

use rustix::process::Signal;

use super::folder::Folder;
use super::process::{Process, Start, free_port, run};
use super::{PASSWORD, ServerCertificate, retry};

/// What a private Redis is like.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// It wants [`PASSWORD`].
    pub password: bool,
    /// It speaks TLS only.
    pub tls: Option<ServerCertificate>,
}

/// A `redis-server` of its own.
#[derive(Debug)]
pub struct PrivateRedis {
    process: Option<Process>,
    options: RedisOptions,
    port: u16,
    folder: Folder,
}

impl PrivateRedis {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// There is no `redis-server`, or it does not start.
    pub fn start(options: RedisOptions) -> io::Result<Self> {
        let mut server = Self { process: None, options, port: 0, folder: Folder::new(None)? };
        retry(|| {
            server.port = free_port()?;
            server.launch()
        })?;
        Ok(server)
    }

    /// Where it is, for `--redis-url`.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "rediss" } else { "redis" };
        let password = if self.options.password { format!(":{PASSWORD}@") } else { String::new() };
        format!("{scheme}://{password}127.0.0.1:{}/", self.port)
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it with signal 9, if it runs.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, empty, on the same port; kills it before, if it runs.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
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

    /// Makes it forget everything.
    ///
    /// # Errors
    /// It does not answer.
    pub fn flush(&self) -> io::Result<()> {
        self.tell(&["FLUSHALL"])
    }

    /// Has `redis-cli` send a command.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub fn tell(&self, words: &[&str]) -> io::Result<()> {
        let port = self.port.to_string();
        let mut command = vec!["redis-cli", "-e", "-p", &port, "--no-auth-warning"];
        if self.options.password {
            command.extend(["-a", PASSWORD]);
        }
        if self.options.tls.is_some() {
            command.extend(["--tls", "--insecure"]);
        }
        command.extend(words);
        run(&command, None)
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    fn launch(&mut self) -> io::Result<()> {
        let port = self.port.to_string();
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut words =
            vec!["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", &folder];
        words.extend(["--logfile", "/dev/stderr"]);
        if self.options.password {
            words.extend(["--requirepass", PASSWORD]);
        }
        let files = self
            .options
            .tls
            .as_ref()
            .map(|tls| [&tls.certificate, &tls.key].map(|path| path.to_string_lossy()));
        match &files {
            None => words.extend(["--port", &port]),
            Some([certificate, key]) => words.extend([
                "--port",
                "0",
                "--tls-port",
                &port,
                "--tls-auth-clients",
                "no",
                "--tls-cert-file",
                certificate,
                "--tls-key-file",
                key,
                "--tls-ca-cert-file",
                certificate,
            ]),
        }
        self.process = Some(Process::start(&Start {
            command: &words,
            user: None,
            ready: "eady to accept connections",
        })?);
        Ok(())
    }
}
