//! `cargo xtask kafka`: the pinned Apache Kafka as oracle and peer. Resolves it with Maven, runs a one-node KRaft
//! broker on loopback, and runs its unmodified command line tools. The release stands in `clients/java/pom.xml`.

use crate::process::{self, Running};
use crate::server::SUITE_SETTINGS;
use crate::workspace;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// A JVM on a loaded two-core machine needs some seconds.
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The flags of Kafka's own start scripts (`bin/kafka-server-start.sh`, `bin/kafka-run-class.sh`). They are given
/// explicitly because a JVM that sees few cores would choose another collector.
const BROKER_JVM_FLAGS: [&str; 8] = [
    "-Xms1G",
    "-Xmx1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
];

/// Tools start often and live shortly.
pub(crate) const TOOL_JVM_FLAGS: [&str; 3] =
    ["-Xmx512M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

pub(crate) const LOG_LEVEL_FLAG: &str = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";

#[derive(Subcommand)]
pub(crate) enum KafkaCommand {
    /// Start a one-node broker in the background and wait until it answers
    Start(Place),
    /// Stop the broker of a data folder
    Stop {
        #[arg(long)]
        data_dir: PathBuf,
    },
    /// Run one of Kafka's command line tools: a name of the table below, or a Java class
    Tool {
        name: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Print the class path of broker, tools and Java client
    ClassPath,
}

/// Where a broker listens and keeps its data.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Place {
    /// Loopback port of the Kafka listener
    #[arg(long, default_value_t = 19092)]
    pub(crate) port: u16,
    /// Formatted when it does not exist yet
    #[arg(long)]
    pub(crate) data_dir: PathBuf,
    /// A broker setting, NAME=VALUE; given last, so it wins
    #[arg(long = "set")]
    pub(crate) settings: Vec<String>,
    /// A quorum of fixed voters: `kraft.version` is not finalized then
    #[arg(long)]
    pub(crate) static_quorum: bool,
}

/// Kafka's scripts and the classes they start.
pub(crate) const TOOLS: [(&str, &str); 28] = [
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
    (
        "kafka-console-producer",
        "org.apache.kafka.tools.ConsoleProducer",
    ),
    (
        "kafka-console-consumer",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ),
    (
        "kafka-consumer-groups",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ),
    ("kafka-groups", "org.apache.kafka.tools.GroupsCommand"),
    (
        "kafka-share-groups",
        "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
    ),
    (
        "kafka-streams-groups",
        "org.apache.kafka.tools.streams.StreamsGroupCommand",
    ),
    (
        "kafka-console-share-consumer",
        "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
    ),
    ("kafka-acls", "org.apache.kafka.tools.AclCommand"),
    ("kafka-features", "org.apache.kafka.tools.FeatureCommand"),
    (
        "kafka-metadata-quorum",
        "org.apache.kafka.tools.MetadataQuorumCommand",
    ),
    (
        "kafka-client-metrics",
        "org.apache.kafka.tools.ClientMetricsCommand",
    ),
    (
        "kafka-leader-election",
        "org.apache.kafka.tools.LeaderElectionCommand",
    ),
    (
        "kafka-reassign-partitions",
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    ),
    (
        "kafka-verifiable-producer",
        "org.apache.kafka.tools.VerifiableProducer",
    ),
    (
        "kafka-verifiable-consumer",
        "org.apache.kafka.tools.VerifiableConsumer",
    ),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    (
        "kafka-delete-records",
        "org.apache.kafka.tools.DeleteRecordsCommand",
    ),
    ("kafka-configs", "kafka.admin.ConfigCommand"),
    ("kafka-dump-log", "kafka.tools.DumpLogSegments"),
    ("kafka-storage", "kafka.tools.StorageTool"),
    ("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    ("kafka-cluster", "org.apache.kafka.tools.ClusterTool"),
    (
        "kafka-broker-api-versions",
        "org.apache.kafka.tools.BrokerApiVersionsCommand",
    ),
    (
        "kafka-transactions",
        "org.apache.kafka.tools.TransactionsCommand",
    ),
    (
        "kafka-producer-perf-test",
        "org.apache.kafka.tools.ProducerPerformance",
    ),
    (
        "kafka-consumer-perf-test",
        "org.apache.kafka.tools.ConsumerPerformance",
    ),
    (
        "kafka-client-compatibility",
        "org.apache.kafka.tools.ClientCompatibilityTest",
    ),
];

pub(crate) fn run(command: KafkaCommand) -> Result<()> {
    match command {
        KafkaCommand::Start(place) => start_in_background(&place),
        KafkaCommand::Stop { data_dir } => stop(&data_dir),
        KafkaCommand::Tool { name, arguments } => {
            // Replaces this process, so that input, output, signals and exit status are the tool's.
            let error = tool(&name)?.args(arguments).exec();
            Err(error).with_context(|| format!("start {name}"))
        }
        KafkaCommand::ClassPath => {
            println!("{}", class_path()?);
            Ok(())
        }
    }
}

/// The release of Kafka that `clients/java/pom.xml` pins.
pub(crate) fn version() -> Result<String> {
    let pom = fs::read_to_string(pom())?;
    let version = pom
        .split_once("<kafka.version>")
        .and_then(|(_, rest)| rest.split_once("</kafka.version>"))
        .context("clients/java/pom.xml has no kafka.version")?
        .0;
    Ok(version.to_owned())
}

/// The class path of broker, tools and client.
pub(crate) fn class_path() -> Result<String> {
    resolved("java")
}

/// The class path of what `clients/FOLDER/pom.xml` names, of the pinned release; resolved once per content of the pom.
pub(crate) fn resolved(folder: &str) -> Result<String> {
    let source = workspace::root()
        .join("clients")
        .join(folder)
        .join("pom.xml");
    let folder = workspace::installed(match folder {
        "java" => "kafka",
        other => other,
    });
    let (copy, list) = (folder.join("pom.xml"), folder.join("classpath.txt"));
    let pom = fs::read_to_string(&source)?;
    if fs::read_to_string(&copy).is_ok_and(|old| old == pom)
        && let Ok(class_path) = fs::read_to_string(&list)
        && class_path.split(':').all(|jar| Path::new(jar).is_file())
    {
        return Ok(class_path);
    }
    let version = version()?;
    eprintln!(
        "resolving {} of Apache Kafka {version} with Maven",
        source.display()
    );
    fs::create_dir_all(&folder)?;
    fs::write(&copy, &pom)?;
    process::run(
        Command::new("mvn")
            .args(["--quiet", "--batch-mode", "--file"])
            .arg(&copy)
            .arg("dependency:build-classpath")
            .arg(format!("-Dkafka.version={version}"))
            .arg(format!("-Dmdep.outputFile={}", list.display()))
            .stdout(std::io::stderr()),
    )?;
    Ok(fs::read_to_string(&list)?)
}

/// The class of a tool, by the name of its script, its short name, or as it is.
pub(crate) fn class_of(name: &str) -> Option<&str> {
    TOOLS
        .iter()
        .find(|(script, class)| *script == name || class.ends_with(&format!(".{name}")))
        .map(|(_, class)| *class)
        .or_else(|| name.contains('.').then_some(name))
}

/// A command that runs one of Kafka's tools, by the name of its script or by its class.
pub(crate) fn tool(name: &str) -> Result<Command> {
    let class = class_of(name);
    let Some(class) = class else {
        let names: Vec<_> = TOOLS.iter().map(|(script, _)| *script).collect();
        bail!(
            "no tool {name}; there are {}, or give a Java class",
            names.join(", ")
        );
    };
    let mut command = Command::new("java");
    command
        .args(TOOL_JVM_FLAGS)
        .arg(LOG_LEVEL_FLAG)
        .args(["-cp", &class_path()?])
        .arg(class);
    Ok(command)
}

/// A broker that ends with this value.
#[derive(Debug)]
pub(crate) struct KafkaBroker {
    process: Running,
}

impl KafkaBroker {
    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn start(place: &Place) -> Result<Self> {
        let mut process = spawn(place)?;
        wait_until_ready(place.port, START_LIMIT, || match process.ended()? {
            None => Ok(()),
            Some(status) => bail!(
                "the broker ended with {status}:\n{}",
                process::tail(&log_file(&place.data_dir), 30)
            ),
        })?;
        Ok(Self { process })
    }

    /// The exit status if the broker has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.ended()
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.terminate(STOP_LIMIT)?;
        Ok(())
    }
}

/// Waits until a broker answers ApiVersions; `still_alive` fails when waiting has become pointless.
pub(crate) fn wait_until_ready(
    port: u16,
    limit: Duration,
    mut still_alive: impl FnMut() -> Result<()>,
) -> Result<()> {
    process::wait_until(&format!("answer on port {port}"), limit, || {
        still_alive()?;
        Ok(answers_api_versions(port).is_ok())
    })
}

/// ApiVersions v0 by hand: the first request of every client, understood by every broker.
pub(crate) fn answers_api_versions(port: u16) -> Result<()> {
    const CORRELATION_ID: [u8; 4] = [0, 0, 0, 7];
    // Size 10; API key 18, version 0, correlation id, client id null.
    const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&REQUEST)?;
    // Size, correlation id, error code.
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    if answer[4..8] != CORRELATION_ID || answer[8..10] != [0, 0] {
        bail!("not an answer to ApiVersions: {answer:?}");
    }
    Ok(())
}

fn start_in_background(place: &Place) -> Result<()> {
    let pid_file = place.data_dir.join("broker.pid");
    if pid_file.exists() {
        bail!(
            "{} exists: stop that broker first, or remove the file if it is gone",
            pid_file.display()
        );
    }
    let broker = KafkaBroker::start(place)?;
    fs::write(&pid_file, broker.process.id().to_string())?;
    println!(
        "Apache Kafka {} on 127.0.0.1:{}, logs in {}",
        version()?,
        place.port,
        log_file(&place.data_dir).display()
    );
    // The broker outlives this command.
    std::mem::forget(broker);
    Ok(())
}

fn stop(data_dir: &Path) -> Result<()> {
    let pid_file = data_dir.join("broker.pid");
    let pid: u32 = fs::read_to_string(&pid_file)
        .with_context(|| format!("no broker was started in {}", data_dir.display()))?
        .trim()
        .parse()?;
    let process_folder = PathBuf::from(format!("/proc/{pid}"));
    // A pid may have been given to another process since.
    let command_line = fs::read(process_folder.join("cmdline")).unwrap_or_default();
    if String::from_utf8_lossy(&command_line).contains("kafka.Kafka") {
        process::signal("TERM", pid)?;
        process::wait_until("end of the broker", STOP_LIMIT, || {
            Ok(!process_folder.exists())
        })?;
    }
    fs::remove_file(&pid_file)?;
    Ok(())
}

/// Formats the folder if it is new and starts the broker, without waiting for it.
pub(crate) fn spawn(place: &Place) -> Result<Running> {
    let class_path = class_path()?;
    fs::create_dir_all(&place.data_dir)?;
    let settings_file = place.data_dir.join("server.properties");
    fs::write(&settings_file, settings(place)?)?;
    if !log_dir(&place.data_dir).exists() {
        format_storage(&settings_file, place.static_quorum)?;
    }
    let log = fs::File::create(log_file(&place.data_dir))?;
    Running::start(
        Command::new("java")
            .args(BROKER_JVM_FLAGS)
            .arg(LOG_LEVEL_FLAG)
            .args(["-cp", &class_path, "kafka.Kafka"])
            .arg(&settings_file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Signals of the terminal are for this tool, which ends the broker itself.
            .process_group(0),
    )
}

fn format_storage(settings_file: &Path, static_quorum: bool) -> Result<()> {
    let id = process::output(tool("kafka-storage")?.arg("random-uuid"))?;
    process::output(
        tool("kafka-storage")?
            .args(["format", "-t", id.trim()])
            .args((!static_quorum).then_some("--standalone"))
            .arg("-c")
            .arg(settings_file),
    )?;
    Ok(())
}

/// Where the node listens and keeps its data, the settings of every suite, then those of this place.
fn settings(place: &Place) -> Result<String> {
    let port = place.port;
    let controller_port = process::free_port()?;
    let log_dir = std::path::absolute(log_dir(&place.data_dir))?;
    let quorum = if place.static_quorum {
        "controller.quorum.voters=1@"
    } else {
        "controller.quorum.bootstrap.servers="
    };
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         {quorum}127.0.0.1:{controller_port}\n\
         log.dirs={}\n",
        log_dir.display()
    );
    for (name, value) in SUITE_SETTINGS {
        writeln!(text, "{name}={value}")?;
    }
    for setting in &place.settings {
        writeln!(text, "{setting}")?;
    }
    Ok(text)
}

fn log_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("logs")
}

fn log_file(data_dir: &Path) -> PathBuf {
    data_dir.join("broker.log")
}

fn pom() -> PathBuf {
    workspace::root().join("clients/java/pom.xml")
}
