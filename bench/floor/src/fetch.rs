//! Spike S1, reading: the floor of a fetch answer out of the page cache, by sendfile and by pread and send.
//!
//! One connection; each request of [`ACK_BYTES`](crate::client::ACK_BYTES) bytes is answered by a header sent with MSG_MORE
//! and one run of the file.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::fs::sendfile;
use rustix::io::{Errno, pread};
use rustix::net::SendFlags;

use crate::client::{ACK_BYTES, Plan};
use crate::commit::write_all_at;
use crate::cost::{Totals, count_syscalls};
use crate::report::{Run, compare};
use crate::scratch::Scratch;
use crate::serve::{BufferPolicy, Connection, Frames, PREFIX_BYTES, listen, receive};

/// Bytes of an answer before its records: about what Kafka's FetchResponse for one partition takes.
const HEADER_BYTES: usize = 100;

/// Answers requests over one connection with runs of a cached file.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory for the file read; removed after the run.
    #[arg(long)]
    dir: PathBuf,
    /// Bytes of records in an answer.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1048576,65536,16384,1024"
    )]
    response_bytes: Vec<usize>,
    /// Requests in flight on the connection.
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// How the records get into the socket.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "sendfile,pread,memory"
    )]
    method: Vec<Method>,
    /// MiB sent for each row and round; a quarter of it at 1 KiB and below.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Rounds, alternately forwards and backwards through the rows.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    /// Header with MSG_MORE, then sendfile.
    Sendfile,
    /// pread into a reused buffer behind the header, then one send.
    Pread,
    /// One send of header and records that are in memory already: the hot tail.
    Memory,
}

/// Runs the spike, one table per answer size.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    const FILE_MIB: u64 = 256;
    let scratch = Scratch::create(&arguments.dir)?;
    let file = scratch.file("segment")?;
    let payload: Vec<u8> = (0..1 << 20).map(|index| (index % 251) as u8).collect();
    for mib in 0..FILE_MIB {
        write_all_at(&file, &payload, mib << 20)?;
    }
    for &bytes in &arguments.response_bytes {
        let mib = if bytes <= 1024 {
            arguments.mib.div_ceil(4)
        } else {
            arguments.mib
        };
        let plan = Plan {
            connections: 1,
            request_bytes: ACK_BYTES - PREFIX_BYTES,
            response_bytes: HEADER_BYTES + bytes,
            in_flight: arguments.in_flight,
            count: (mib << 20) / bytes as u64,
        };
        let variants: Vec<_> = arguments
            .method
            .iter()
            .map(|method| (format!("{method:?}").to_lowercase(), *method))
            .collect();
        let title = format!("fetch, {bytes} B answers, {} in flight", plan.in_flight);
        compare(&title, arguments.rounds, &variants, |method| {
            serve(*method, plan, bytes, &file, FILE_MIB << 20)
        })?;
    }
    Ok(())
}

fn serve(method: Method, plan: Plan, bytes: usize, file: &File, length: u64) -> Result<Run> {
    let (listener, address) = listen()?;
    let client = plan.start(address)?;
    let connection = Connection::accept(&listener)?;
    let mut frames = Frames::new(BufferPolicy::Batched, plan.request_bytes)?;
    let mut buffer = vec![1; HEADER_BYTES + bytes];
    let (mut served, mut position) = (0, 0);
    let totals = Totals::read()?;
    while receive(&connection, &mut frames)? > 0 {
        for _ in frames.complete()? {
            match method {
                Method::Sendfile => {
                    connection.send_all(
                        &buffer[..HEADER_BYTES],
                        SendFlags::NOSIGNAL | SendFlags::MORE,
                    )?;
                    send_range(&connection, file, position, bytes)?;
                }
                Method::Pread => {
                    count_syscalls(1);
                    let read =
                        pread(file, &mut buffer[HEADER_BYTES..], position).context("pread")?;
                    ensure!(read == bytes, "a read from the page cache was cut short");
                    connection.send_all(&buffer, SendFlags::NOSIGNAL)?;
                }
                Method::Memory => connection.send_all(&buffer, SendFlags::NOSIGNAL)?,
            }
            position += bytes as u64;
            if position + bytes as u64 > length {
                position = 0;
            }
            served += 1;
        }
        frames.consume();
    }
    let cost = totals.cost_until_now()?;
    let load = client.finish()?;
    ensure!(
        served == plan.requests(),
        "{served} of {} requests were served",
        plan.requests()
    );
    Ok(Run {
        cost,
        requests: served,
        bytes: served * bytes as u64,
        load,
    })
}

fn send_range(connection: &Connection, file: &File, position: u64, bytes: usize) -> Result<()> {
    let mut offset = position;
    let end = position + bytes as u64;
    while offset < end {
        let left = usize::try_from(end - offset)?;
        count_syscalls(1);
        match sendfile(&connection.stream, file, Some(&mut offset), left) {
            Ok(sent) => ensure!(sent > 0, "the file is shorter than expected"),
            Err(Errno::AGAIN) => connection.wait_writable()?,
            Err(error) => return Err(error).context("sendfile"),
        }
    }
    Ok(())
}
