//! The load: connections that keep a number of requests in flight and wait for answers of a known size.
//!
//! Runs as a child process, so that its CPU time is not the server's. A request is a 32-bit big-endian length and that many
//! bytes; an answer is `response_bytes` bytes, whatever they hold.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum as _;

use crate::cores::Placement;
use crate::cost::{now, quantile};

/// Bytes of a produce answer: about what Kafka's ProduceResponse for one partition takes.
pub(crate) const ACK_BYTES: usize = 60;

/// No answer for this long means that the run is broken.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    connect: SocketAddr,
    #[arg(long)]
    connections: usize,
    /// Bytes of a request, its length prefix not counted.
    #[arg(long)]
    request_bytes: usize,
    #[arg(long)]
    response_bytes: usize,
    #[arg(long)]
    in_flight: usize,
    /// Requests per connection.
    #[arg(long)]
    count: u64,
}

/// What the client saw of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// A load to start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) request_bytes: usize,
    pub(crate) response_bytes: usize,
    pub(crate) in_flight: usize,
    pub(crate) count: u64,
}

/// A client process; ended when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Plan {
    /// Starts the client process against `address`.
    pub(crate) fn start(&self, address: SocketAddr) -> Result<Running> {
        let cores = Placement::chosen()
            .to_possible_value()
            .context("a placement without a name")?;
        let child = std::process::Command::new(std::env::current_exe()?)
            .arg("client")
            .args(["--cores", cores.get_name()])
            .args(["--connect".to_owned(), address.to_string()])
            .args(["--connections".to_owned(), self.connections.to_string()])
            .args(["--request-bytes".to_owned(), self.request_bytes.to_string()])
            .args([
                "--response-bytes".to_owned(),
                self.response_bytes.to_string(),
            ])
            .args(["--in-flight".to_owned(), self.in_flight.to_string()])
            .args(["--count".to_owned(), self.count.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the client process")?;
        Ok(Running { child })
    }

    /// Requests of all connections.
    pub(crate) fn requests(&self) -> u64 {
        self.count * self.connections as u64
    }
}

impl Running {
    /// Waits for the client's end and returns what it saw.
    pub(crate) fn finish(mut self) -> Result<Load> {
        let mut text = String::new();
        self.child
            .stdout
            .take()
            .context("the client has no output")?
            .read_to_string(&mut text)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the client failed with {status}");
        let mut numbers = text.split_whitespace().map(str::parse::<f64>);
        let mut next =
            || -> Result<f64> { Ok(numbers.next().context("the client's line is short")??) };
        Ok(Load {
            p50_us: next()?,
            p99_us: next()?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After finish() both calls do nothing; after an error they end the child.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the client and prints median and 99th percentile of the time from request to answer, in microseconds.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut times = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..arguments.connections)
            .map(|_| scope.spawn(|| drive_connection(arguments)))
            .collect();
        for thread in threads {
            let of_one = thread
                .join()
                .map_err(|_panic| anyhow::anyhow!("a connection panicked"))?;
            times.extend(of_one?);
        }
        Ok(())
    })?;
    writeln!(
        std::io::stdout(),
        "{} {}",
        quantile(&mut times, 0.5),
        quantile(&mut times, 0.99)
    )?;
    Ok(())
}

fn drive_connection(arguments: &Arguments) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect(arguments.connect).context("connecting")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = u32::try_from(arguments.request_bytes).context("the request is too large")?;
    let mut request = length.to_be_bytes().to_vec();
    request.extend((0..arguments.request_bytes).map(|index| (index % 251) as u8));
    let mut buffer = vec![0; 256 * 1024];
    let mut sent_at = VecDeque::new();
    let mut times = Vec::new();
    let (mut sent, mut unread) = (0, 0);
    while (times.len() as u64) < arguments.count {
        while sent < arguments.count && sent_at.len() < arguments.in_flight {
            sent_at.push_back(now());
            stream.write_all(&request).context("sending a request")?;
            sent += 1;
        }
        let read = stream.read(&mut buffer).context("waiting for an answer")?;
        ensure!(read > 0, "the server closed the connection");
        unread += read;
        while unread >= arguments.response_bytes {
            unread -= arguments.response_bytes;
            let at = sent_at.pop_front().context("an answer without a request")?;
            times.push(at.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(times)
}
