//! The steps of `clients/suites/tools.toml`. Against Kafka their outputs are kept in `clients/suites/tools-kafka.json`;
//! against us they are compared with those, line by line. A difference that must be is named in
//! `clients/suites/explained.toml`, with texts that each differing line contains.

use super::Place;
use super::normalise::Known;
use crate::process::{self, Running};
use crate::server::{Against, Server};
use crate::suites::results::{Explained, Outcome, Verdict, explained};
use crate::{dump_log, kafka, workspace};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A tool is a JVM on a machine that does other things too.
const STEP_LIMIT: Duration = Duration::from_secs(120);
const READY_LIMIT: Duration = Duration::from_secs(90);
/// How often a step with `repeat_until` is run.
const REPEATS_MAX: usize = 20;

#[derive(Deserialize, Debug)]
struct StepsFile {
    step: Vec<Step>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Step {
    name: String,
    run: Option<String>,
    stdin: Option<String>,
    write: Option<Written>,
    start: Option<String>,
    until: Option<String>,
    stop: Option<String>,
    #[serde(default)]
    sort: bool,
    #[serde(default)]
    numbers: bool,
    #[serde(default)]
    drop: Vec<String>,
    repeat_until: Option<String>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    text: String,
}

/// What a step printed, normalised.
#[derive(Serialize, Deserialize, Debug, Clone)]
struct Transcript {
    name: String,
    lines: Vec<String>,
}

pub(super) fn run(
    mut place: Place,
    only: Option<&str>,
    dry: bool,
) -> Result<Vec<(String, Outcome)>> {
    let source = workspace::root().join("clients/suites/tools.toml");
    let file: StepsFile = toml::from_str(&fs::read_to_string(&source)?)
        .with_context(|| source.display().to_string())?;
    let mut server = Server::start(place.against, place.folder.join("broker"))?;
    place.bootstrap = server.bootstrap();
    let files = place.folder.join("files");
    fs::create_dir_all(&files)?;
    let mut known = Known::default();
    // Where Kafka keeps its logs, and where we do.
    known.add(
        &server.data_dir().join("logs").display().to_string(),
        "DATA",
    );
    known.add(&server.data_dir().display().to_string(), "DATA");
    if let Some((_, port)) = place.bootstrap.split_once(':') {
        known.add(port, "PORT");
    }
    known.add(&files.display().to_string(), "FILES");
    known.add(&place.bootstrap, "ADDRESS");
    let mut runner = Runner {
        place: &place,
        data_dir: server.data_dir().to_path_buf(),
        files,
        known,
        background: BTreeMap::new(),
        tools: Tools::start(&place.folder)?,
    };
    let mut transcripts = Vec::new();
    for step in &file.step {
        // Only the steps asked for, and those whose effects others need.
        let is_chosen = only.is_none_or(|only| step.name.contains(only));
        if !is_chosen {
            continue;
        }
        let started = Instant::now();
        let lines = runner
            .step(step)
            .unwrap_or_else(|error| vec![format!("{error:#}")]);
        println!("{}: {:.1} s", step.name, started.elapsed().as_secs_f64());
        if let Some(lines) = step.run.as_ref().map(|_| lines) {
            transcripts.push(Transcript {
                name: step.name.clone(),
                lines,
            });
        }
        server.still_runs()?;
    }
    drop(runner);
    server.stop()?;
    fs::write(
        place.folder.join("transcripts.json"),
        serde_json::to_string_pretty(&transcripts)?,
    )?;
    match place.against {
        Against::Kafka => keep(transcripts, only.is_none() && !dry),
        Against::Watertable => compare(&transcripts, only.is_none()),
    }
}

fn golden() -> PathBuf {
    workspace::root().join("clients/suites/tools-kafka.json")
}

/// Kafka's outputs are the reference, whatever they say.
fn keep(transcripts: Vec<Transcript>, write: bool) -> Result<Vec<(String, Outcome)>> {
    if write {
        let mut text = serde_json::to_string_pretty(&transcripts)?;
        text.push('\n');
        fs::write(golden(), text)?;
    }
    let passed = |transcript: Transcript| (row(&transcript.name), Outcome::of(Verdict::Passed, ""));
    Ok(transcripts.into_iter().map(passed).collect())
}

fn row(step: &str) -> String {
    format!("tool {step}")
}

fn compare(transcripts: &[Transcript], whole: bool) -> Result<Vec<(String, Outcome)>> {
    let path = golden();
    let mut reference: Vec<Transcript> = serde_json::from_str(
        &fs::read_to_string(&path)
            .with_context(|| format!("{}: run --against kafka first", path.display()))?,
    )?;
    // What was kept before a rule was added follows it too.
    let known = Known::default();
    for transcript in &mut reference {
        for line in &mut transcript.lines {
            *line = known.line(line);
        }
    }
    let explained = explained("tools")?;
    let mut used = vec![false; explained.len()];
    let mut outcomes = Vec::new();
    for transcript in transcripts {
        let expected = reference
            .iter()
            .find(|known| known.name == transcript.name)
            .with_context(|| format!("no output of Kafka for {}", transcript.name))?;
        outcomes.push((
            row(&transcript.name),
            judge(expected, transcript, &explained, &mut used),
        ));
    }
    if whole {
        for (entry, _) in explained.iter().zip(used).filter(|(_, used)| !used) {
            outcomes.push((
                row(&entry.test),
                Outcome::of(
                    Verdict::Failed,
                    "explained, but there is no such difference",
                ),
            ));
        }
    }
    Ok(outcomes)
}

/// Equal but for differences that are explained.
fn judge(
    expected: &Transcript,
    found: &Transcript,
    explained: &[Explained],
    used: &mut [bool],
) -> Outcome {
    if expected.lines == found.lines {
        return Outcome::of(Verdict::Passed, "");
    }
    let mut differing = difference(&expected.lines, &found.lines, '-');
    differing.extend(difference(&found.lines, &expected.lines, '+'));
    if differing.is_empty() {
        return Outcome::of(Verdict::Failed, "the same lines in another order");
    }
    let mut reasons = Vec::new();
    for (entry, used) in explained.iter().zip(used) {
        if entry.test != found.name {
            continue;
        }
        let before = differing.len();
        differing.retain(|line| !entry.lines.iter().any(|text| line.contains(text.as_str())));
        if differing.len() < before {
            *used = true;
            reasons.push(entry.reason.as_str());
        }
    }
    if differing.is_empty() {
        return Outcome::of(
            Verdict::Passed,
            &format!("explained: {}", reasons.join("; ")),
        );
    }
    for line in &differing {
        println!("  {}: {line}", found.name);
    }
    let count = differing.len();
    differing.truncate(4);
    Outcome::of(
        Verdict::Failed,
        &format!("{count} lines differ: {}", differing.join(" ⏎ ")),
    )
}

/// Lines of `one` that `other` has not, each as often as it is missing.
fn difference(one: &[String], other: &[String], sign: char) -> Vec<String> {
    let mut rest: Vec<&String> = other.iter().collect();
    let mut missing = Vec::new();
    for line in one {
        match rest.iter().position(|known| *known == line) {
            Some(at) => {
                rest.swap_remove(at);
            }
            None => missing.push(format!("{sign} {line}")),
        }
    }
    missing
}

struct Runner<'a> {
    place: &'a Place,
    data_dir: PathBuf,
    files: PathBuf,
    known: Known,
    background: BTreeMap<String, Running>,
    tools: Tools,
}

impl Runner<'_> {
    fn step(&mut self, step: &Step) -> Result<Vec<String>> {
        if let Some(written) = &step.write {
            fs::write(self.files.join(&written.name), &written.text)?;
        }
        if let Some(name) = &step.stop {
            let mut process = self
                .background
                .remove(name)
                .with_context(|| format!("{name} was not started"))?;
            process.terminate(STEP_LIMIT)?;
            return Ok(Vec::new());
        }
        let run = step
            .run
            .as_deref()
            .context("a step runs or stops something")?;
        if let Some(name) = &step.start {
            self.start(name, run, step.until.as_deref().unwrap_or_default())?;
            return Ok(Vec::new());
        }
        let mut lines = self.once(step, run)?;
        if let Some(text) = &step.repeat_until {
            for _ in 0..REPEATS_MAX {
                if lines.iter().any(|line| line.contains(text.as_str())) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(500));
                lines = self.once(step, run)?;
            }
        }
        Ok(lines)
    }

    /// A tool's name and its arguments.
    fn words(&self, run: &str) -> Result<(String, Vec<String>)> {
        let mut words = run.split(' ').filter(|word| !word.is_empty());
        let tool = words.next().context("a step names a tool")?.to_owned();
        let mut arguments = Vec::new();
        for word in words {
            match word {
                "{b}" => arguments
                    .extend(["--bootstrap-server", &self.place.bootstrap].map(str::to_owned)),
                "{a}" => arguments.push(self.place.bootstrap.clone()),
                _ => arguments.push(self.argument(word)?),
            }
        }
        Ok((tool, arguments))
    }

    fn command(&self, run: &str) -> Result<Command> {
        let (tool, arguments) = self.words(run)?;
        let mut command = kafka::tool(&tool)?;
        command.args(arguments);
        Ok(command)
    }

    /// With files and logs in place of their names.
    fn argument(&self, word: &str) -> Result<String> {
        if let Some(partition) = word
            .strip_prefix("{log:")
            .and_then(|rest| rest.strip_suffix('}'))
        {
            let file = dump_log::logs(&self.data_dir)?
                .into_iter()
                .find(|log| log.partition == partition)
                .with_context(|| format!("{partition} has no log"))?;
            return Ok(file.path.display().to_string());
        }
        Ok(word.replace("{dir}", &self.files.display().to_string()))
    }

    fn start(&mut self, name: &str, run: &str, until: &str) -> Result<()> {
        let log = self.place.folder.join(format!("{name}.log"));
        let file = fs::File::create(&log)?;
        let process = Running::start(
            self.command(run)?
                .stdin(Stdio::null())
                .stdout(file.try_clone()?)
                .stderr(file),
        )?;
        self.background.insert(name.to_owned(), process);
        process::wait_until(&format!("{until} of {name}"), READY_LIMIT, || {
            Ok(fs::read_to_string(&log)?.contains(until))
        })
    }

    fn once(&mut self, step: &Step, run: &str) -> Result<Vec<String>> {
        let file = |name: &str| self.place.folder.join(name);
        let (input, output, errors) = (file("in"), file("out"), file("err"));
        fs::write(&input, step.stdin.as_deref().unwrap_or_default())?;
        let (tool, arguments) = self.words(run)?;
        let status = match kafka::class_of(&tool) {
            // A name that is a class is a program that needs a process of its own.
            Some(class) if class != tool => {
                let files = [&input, &output, &errors].map(|path| path.display().to_string());
                let mut fields = files.to_vec();
                fields.push(class.to_owned());
                fields.extend(arguments);
                self.tools.run(&fields)?
            }
            _ => {
                let mut process = Running::start(
                    self.command(run)?
                        .stdin(fs::File::open(&input)?)
                        .stdout(fs::File::create(&output)?)
                        .stderr(fs::File::create(&errors)?),
                )?;
                let status = process.wait(STEP_LIMIT)?;
                status
                    .code()
                    .map_or_else(|| status.to_string(), |code| format!("exit {code}"))
            }
        };
        let mut lines = self.lines(&output, step)?;
        lines.extend(self.lines(&errors, step)?);
        if step.sort {
            lines = lines
                .iter()
                .flat_map(|line| line.split(",{"))
                // What closes a list moves with its last part.
                .map(|part| part.trim_end_matches([']', '}']).to_owned())
                .collect();
            lines.sort();
        }
        if step.numbers {
            for line in &mut lines {
                *line = without_numbers(line);
            }
        }
        lines.push(status);
        Ok(lines)
    }

    /// Without what the logging backend says, stack traces and empty lines.
    fn lines(&self, path: &Path, step: &Step) -> Result<Vec<String>> {
        let text = fs::read(path)?;
        Ok(String::from_utf8_lossy(&text)
            .lines()
            .map(|line| self.known.line(line))
            .filter(|line| !line.is_empty() && !is_log_line(line))
            .filter(|line| !step.drop.iter().any(|text| line.contains(text.as_str())))
            .collect())
    }
}

/// With one letter for each number.
fn without_numbers(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut in_number = false;
    for letter in line.chars() {
        let is_digit = letter.is_ascii_digit();
        if !is_digit {
            text.push(letter);
        } else if !in_number {
            text.push('N');
        }
        in_number = is_digit;
    }
    text
}

fn is_log_line(line: &str) -> bool {
    let is_logged = line.starts_with('[')
        && ["] WARN ", "] ERROR ", "] INFO "]
            .iter()
            .any(|level| line.contains(level));
    // As Tools.java ends a tool that catches even that.
    is_logged || line.contains("ENDED") || line.starts_with("at ") || line.starts_with("... ")
}

/// The JVM in which the tools run one after the other (`clients/java-suites/Tools.java`).
struct Tools {
    process: Running,
    requests: PathBuf,
    answers: PathBuf,
    answered: usize,
    folder: PathBuf,
}

impl Tools {
    fn start(folder: &Path) -> Result<Self> {
        let (requests, answers) = (folder.join("requests"), folder.join("answers"));
        if requests.exists() {
            fs::remove_file(&requests)?;
        }
        process::run(Command::new("mkfifo").arg(&requests))?;
        let process = Self::spawn(&requests, &answers, folder)?;
        Ok(Self {
            process,
            requests,
            answers,
            answered: 0,
            folder: folder.to_path_buf(),
        })
    }

    fn spawn(requests: &Path, answers: &Path, folder: &Path) -> Result<Running> {
        let source = workspace::root().join("clients/java-suites/Tools.java");
        // Opened for both, so that neither side waits for the other and the pipe stays open between requests.
        let pipe = fs::File::options().read(true).write(true).open(requests)?;
        Running::start(
            Command::new("java")
                .args(["-Xmx512M", "-XX:+UseSerialGC", kafka::LOG_LEVEL_FLAG])
                .args(["-cp", &kafka::class_path()?])
                .arg(source)
                .stdin(pipe)
                .stdout(fs::File::create(answers)?)
                .stderr(fs::File::create(folder.join("tools.err"))?),
        )
    }

    /// Runs one tool and returns how it ended. One that does not end costs the JVM, and the next gets a new one.
    fn run(&mut self, fields: &[String]) -> Result<String> {
        fs::write(&self.requests, fields.join("\t") + "\n")?;
        let (answers, answered) = (&self.answers, self.answered);
        let mut answer = None;
        let waited = process::wait_until("end of the tool", STEP_LIMIT, || {
            answer = fs::read_to_string(answers)?
                .lines()
                .nth(answered)
                .map(str::to_owned);
            Ok(answer.is_some())
        });
        if let Err(error) = waited {
            self.process.kill()?;
            self.process = Self::spawn(&self.requests, &self.answers, &self.folder)?;
            self.answered = 0;
            return Err(error);
        }
        self.answered += 1;
        answer.context("the tool ended")
    }
}
