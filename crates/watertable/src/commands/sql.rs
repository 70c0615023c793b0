//! `watertable sql`: asks topics as tables; what it does is in the `prompt` crate.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Result;
use prompt::{Format, From, Options, PromptError, Source, Work};

use crate::output::OutputClosed;
use crate::report::{Failure, Status};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watertable sql
  watertable sql 'SELECT _partition, count(*) FROM trips GROUP BY 1'
  watertable sql --format csv -c 'SELECT _key, _value FROM trips LIMIT 100' > trips.csv
  watertable sql --follow \"SELECT _key, _value->>'km' AS km FROM trips WHERE _key = 'alice'\"
  watertable sql -f report.sql --format ndjson | jq .
  echo 'SELECT 1' | watertable sql

At the prompt \\? lists what it can do. It speaks PostgreSQL's protocol; psql -h HOST -p PORT works, too.")]
pub(crate) struct Arguments {
    /// Where the broker takes SQL (its --sql-listen)
    #[arg(
        long,
        env = "WATERTABLE_SQL_SERVER",
        default_value = "127.0.0.1:9432",
        value_name = "HOST:PORT"
    )]
    server: String,
    /// A statement; without one they are read from standard input, at a prompt if that is a terminal
    #[arg(value_name = "SQL", conflicts_with_all = ["command", "file"])]
    sql: Option<String>,
    /// Statements to run, as many times as one likes
    #[arg(long, short = 'c', value_name = "SQL")]
    command: Vec<String>,
    /// A file of statements to run, after those of -c
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Vec<PathBuf>,
    /// How rows are written
    #[arg(long, default_value = "table", value_name = "FORMAT", value_parser = format)]
    format: Format,
    /// Do not say what statements without rows did (INSERT 0 3); csv, json and ndjson never do
    #[arg(long, short = 'q')]
    quiet: bool,
    /// Go on with rows as records are written, until Ctrl-C: for SELECT … FROM topic WHERE … alone
    #[arg(long)]
    follow: bool,
    /// Where to begin: with the records there are, or the next one
    #[arg(long, value_enum, default_value = "now", requires = "follow")]
    from: Beginning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Beginning {
    /// The first record there is
    Beginning,
    /// The next record that is written
    Now,
}

fn format(text: &str) -> Result<Format, String> {
    Format::of(text).ok_or_else(|| {
        let names = Format::ALL.map(Format::name).join(", ");
        format!("there is no '{text}'; there are {names}")
    })
}

impl Arguments {
    fn work(self) -> Result<Work> {
        let statements = self.sql.into_iter().chain(self.command);
        if self.follow {
            let sql: Vec<String> = statements.collect();
            let from = match self.from {
                Beginning::Beginning => From::Beginning,
                Beginning::Now => From::Now,
            };
            return match (<[String; 1]>::try_from(sql), self.file.is_empty()) {
                (Ok([sql]), true) => Ok(Work::Follow(sql, from)),
                _ => Err(Failure::new(
                    "--follow takes one query",
                    "write it behind --follow: watertable sql --follow 'SELECT * FROM topic'",
                )
                .into()),
            };
        }
        let sources: Vec<Source> = statements
            .map(Source::Text)
            .chain(self.file.into_iter().map(Source::File))
            .collect();
        Ok(match sources.is_empty() {
            false => Work::Run(sources),
            true if std::io::stdin().is_terminal() => Work::Prompt,
            true => Work::Run(vec![Source::Input]),
        })
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let options = Options {
        server: arguments.server.clone(),
        format: arguments.format,
        is_quiet: arguments.quiet,
        work: arguments.work()?,
    };
    prompt::run(options).map_err(|error| match error {
        // It was said already.
        PromptError::Told => Status(1).into(),
        PromptError::OutputClosed => OutputClosed.into(),
        error => match error.next_step() {
            Some(next_step) => {
                let what = crate::report::sentence(&error.into());
                Failure::new(what, next_step).into()
            }
            None => error.into(),
        },
    })
}
