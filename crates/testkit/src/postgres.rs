//! A real PostgreSQL on loopback, for tests. Its data lies in a folder of its own and goes with it. Everything here panics when it cannot
//! be done: a test cannot go on.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a test that cannot go on fails where it stands"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use crate::DEADLINE;

/// The account of Debian's packages: PostgreSQL refuses to run as root.
const ACCOUNT: &str = "postgres";

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// A running server; ended when dropped.
#[derive(Debug)]
pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    process: Mutex<Child>,
}

/// A database of a test.
#[derive(Debug)]
pub struct Database {
    /// The server that it is on.
    pub server: Arc<Server>,
    name: String,
}

impl Server {
    /// The one that tests share while any of them uses it.
    pub async fn shared() -> Arc<Self> {
        let started = {
            let mut shared = SHARED.lock().unwrap();
            shared.upgrade().unwrap_or_else(|| {
                let server = Arc::new(Self::launch(&[]));
                *shared = Arc::downgrade(&server);
                server
            })
        };
        started.ready().await;
        started
    }

    /// One of its own.
    pub async fn own(settings: &[&str]) -> Arc<Self> {
        let server = Arc::new(Self::launch(settings));
        server.ready().await;
        server
    }

    fn launch(settings: &[&str]) -> Self {
        let programs = programs();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!(
            "watertable-postgres-{}-{number}",
            std::process::id()
        ));
        fs::create_dir_all(&folder).unwrap();
        if is_root() {
            run(Command::new("chown").arg(ACCOUNT).arg(&folder));
        }
        run(account(&programs.join("initdb"))
            .args([
                "--username",
                ACCOUNT,
                "--auth",
                "trust",
                "--no-sync",
                "--encoding",
                "UTF8",
                "--locale",
                "C.UTF-8",
                "--pgdata",
            ])
            .arg(folder.join("data")));
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let settings: Vec<_> = settings
            .iter()
            .map(|setting| (*setting).to_owned())
            .collect();
        let process = Mutex::new(start(&programs, &folder, port, &settings));
        Self {
            programs,
            folder,
            port,
            settings,
            process,
        }
    }

    async fn ready(&self) {
        within("PostgreSQL", async {
            while tokio_postgres::connect(&self.address("postgres", ACCOUNT), NoTls)
                .await
                .is_err()
            {
                self.revive();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Starts it again if it ended since the children of one that was killed hold its memory for a moment.
    fn revive(&self) {
        let mut process = self.process.lock().unwrap();
        if let Some(status) = process.try_wait().unwrap() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(
                log.contains("still in use"),
                "PostgreSQL ended with {status}:\n{log}"
            );
            *process = start(&self.programs, &self.folder, self.port, &self.settings);
        }
    }

    /// Ends it with SIGKILL.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Starts it after [`Self::kill`].
    pub async fn start_again(&self) {
        *self.process.lock().unwrap() =
            start(&self.programs, &self.folder, self.port, &self.settings);
        self.ready().await;
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn address(&self, database: &str, role: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user='{role}' dbname='{database}'",
            self.port
        )
    }

    /// The same over the socket of the machine.
    pub fn socket_address(&self, database: &str) -> String {
        format!(
            "host={} port={} user={ACCOUNT} dbname='{database}'",
            self.folder.display(),
            self.port
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap();
        // "At once", which ends its children, too.
        drop(
            Command::new("kill")
                .args(["-QUIT", &process.id().to_string()])
                .status(),
        );
        drop(process.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

impl Database {
    pub async fn new() -> Self {
        Self::of(Server::shared().await).await
    }

    pub async fn of(server: Arc<Server>) -> Self {
        Self::with(server, "").await
    }

    /// With options of CREATE DATABASE.
    pub async fn with(server: Arc<Server>, options: &str) -> Self {
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&server.address("postgres", ACCOUNT)).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name} {options}"))
            .await
            .unwrap();
        Self { server, name }
    }

    pub fn address(&self) -> String {
        self.server.address(&self.name, ACCOUNT)
    }

    pub fn address_of(&self, role: &str) -> String {
        self.server.address(&self.name, role)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Somebody who may everything.
    pub async fn admin(&self) -> Client {
        connect(&self.address()).await
    }

    /// Statements of somebody who may everything.
    pub async fn run(&self, sql: &str) {
        self.admin().await.batch_execute(sql).await.unwrap();
    }

    /// The rows of a query as texts, a line each, with `|` between.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        texts(&self.admin().await, sql).await
    }
}

/// The rows of a query as texts, a line each, with `|` between.
pub async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let found = client.simple_query(sql).await.unwrap();
    let rows = found.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| {
        let fields: Vec<_> = (0..row.len())
            .map(|at| row.get(at).unwrap_or("NULL"))
            .collect();
        fields.join("|")
    })
    .collect()
}

pub async fn connect(address: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
    beside(async move { drop(connection.await) });
    client
}

/// A role that may connect, and nothing else.
pub async fn role(database: &Database) -> String {
    let name = format!(
        "role_{}_{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    );
    database.run(&format!("CREATE ROLE {name} LOGIN")).await;
    name
}

fn start(programs: &Path, folder: &Path, port: u16, settings: &[String]) -> Child {
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut command = account(&programs.join("postgres"));
    command
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-h", "127.0.0.1", "-k"])
        .arg(folder)
        .args(["-p", &port.to_string(), "-c", "fsync=off"]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Something that runs beside a test.
#[allow(clippy::disallowed_methods, reason = "tests run on real threads")]
fn beside(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::task::spawn(future));
}

/// The newest version's folder of programs, which are not on the path.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("these tests need a PostgreSQL: install Debian's package `postgresql`, which puts initdb under /usr/lib/postgresql")
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

fn account(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"])
        .arg(program)
        .current_dir("/");
    command
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// For what is not a condition of a database.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, future).await;
    done.unwrap_or_else(|_late| panic!("{what} did not happen within {DEADLINE:?}"))
}
