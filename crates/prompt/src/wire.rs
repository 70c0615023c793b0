//! A connection to a server that speaks PostgreSQL's protocol 3.0: statements out, what it says about them in.
//!
//! Invariant: a message is taken from the input only once it is there as a whole, so that waiting for one may be given up at
//! any time, and a length that is not true costs no memory.

use std::io;

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::backend::{self, Header, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::{ConnectError, Lost, ServerError};

/// PostgreSQL's own limit of a value. A message beyond it comes from something else than a server.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// Rows that are kept of what is asked behind the user's back.
const ROWS_MAX: usize = 100_000;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// As in `pg_type`.
    pub(crate) type_oid: u32,
}

/// A row of a result, its values as text.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    bytes: Bytes,
    values: Vec<Option<std::ops::Range<usize>>>,
}

impl Row {
    /// The values; `None` is NULL.
    pub(crate) fn values(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let values = self.values.iter();
        values.map(|range| range.clone().map(|range| &self.bytes[range]))
    }

    /// What it takes to hold it.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + size_of_val(self.values.as_slice())
    }

    /// A value as text; empty if it is NULL or there is none.
    pub(crate) fn text(&self, column: usize) -> String {
        let value = self.values().nth(column).flatten().unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    }

    /// All values as text.
    pub(crate) fn texts(&self) -> String {
        let values = self.values().map(Option::unwrap_or_default);
        values
            .map(|value| String::from_utf8_lossy(value))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// A row of these texts.
    #[cfg(test)]
    pub(crate) fn of(texts: &[Option<&str>]) -> Self {
        let mut bytes = Vec::new();
        let values = texts.iter().map(|text| {
            text.map(|text| {
                let start = bytes.len();
                bytes.extend_from_slice(text.as_bytes());
                start..bytes.len()
            })
        });
        let values = values.collect();
        Self {
            bytes: bytes.into(),
            values,
        }
    }
}

/// What a server says about statements.
#[derive(Debug)]
pub(crate) enum Event {
    /// Rows of these columns follow.
    Columns(Vec<Column>),
    Row(Row),
    /// Lines of a COPY follow.
    CopyOut,
    /// It waits for the lines of a COPY.
    CopyIn,
    CopyData(Bytes),
    /// The statement is done; what PostgreSQL calls its tag, such as `SELECT 3`.
    Done(String),
    Notice(ServerError),
    /// The statement failed.
    Failed(ServerError),
    /// The next statement may come.
    Ready,
}

/// How a transaction of the session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transaction {
    #[default]
    None,
    Open,
    Failed,
}

/// Who asks a running statement to end.
#[derive(Clone, Debug)]
pub(crate) struct Canceller {
    address: String,
    process: i32,
    secret: i32,
}

impl Canceller {
    /// Asks once. The statement then fails as one that was cancelled, unless it was over already.
    pub(crate) async fn cancel(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let mut request = BytesMut::new();
        frontend::cancel_request(self.process, self.secret, &mut request);
        stream.write_all(&request).await?;
        // The server closes once it has done so.
        let mut rest = [0; 16];
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    }
}

/// A session of a server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    input: BytesMut,
    canceller: Canceller,
    /// What the server said of itself.
    pub(crate) version: String,
    pub(crate) transaction: Transaction,
}

impl Connection {
    /// Connects and waits until the server takes statements.
    pub(crate) async fn open(address: &str) -> Result<Self, ConnectError> {
        let connect = TcpStream::connect(address).await;
        let stream = connect.map_err(|source| ConnectError::Connect {
            address: address.to_owned(),
            source,
        })?;
        // Statements are small and waited for.
        stream.set_nodelay(true).ok();
        let mut connection = Self {
            stream,
            input: BytesMut::new(),
            canceller: Canceller {
                address: address.to_owned(),
                process: 0,
                secret: 0,
            },
            version: String::new(),
            transaction: Transaction::None,
        };
        connection.start().await?;
        Ok(connection)
    }

    async fn start(&mut self) -> Result<(), ConnectError> {
        // Nobody is asked who they are, but the server shows it to others.
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
        let parameters = [
            ("user", user.as_deref().unwrap_or("watertable")),
            ("database", "watertable"),
            ("application_name", "watertable sql"),
            ("client_encoding", "UTF8"),
        ];
        let mut request = BytesMut::new();
        frontend::startup_message(parameters, &mut request).map_err(Lost::from)?;
        self.send(&request).await?;
        loop {
            match self.message().await? {
                Message::AuthenticationOk => {}
                Message::BackendKeyData(key) => {
                    self.canceller.process = key.process_id();
                    self.canceller.secret = key.secret_key();
                }
                Message::ErrorResponse(error) => {
                    let error = server_error(error.fields()).map_err(Lost::from)?;
                    return Err(ConnectError::Refused(Box::new(error)));
                }
                Message::ReadyForQuery(_) => return Ok(()),
                Message::ParameterStatus(status) => self.note(&status)?,
                Message::NoticeResponse(_) => {}
                _ => return Err(ConnectError::Password),
            }
        }
    }

    fn note(&mut self, status: &backend::ParameterStatusBody) -> Result<(), Lost> {
        if status.name()? == "server_version" {
            self.version = status.value()?.to_owned();
        }
        Ok(())
    }

    /// Who can cancel what this session runs.
    pub(crate) fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Sends a statement. Its events end with [`Event::Ready`].
    pub(crate) async fn query(&mut self, sql: &str) -> Result<(), Lost> {
        let mut request = BytesMut::new();
        // A zero byte would end the text early.
        frontend::query(&sql.replace('\0', ""), &mut request)?;
        self.send(&request).await
    }

    /// Declines to send the lines of a COPY.
    pub(crate) async fn decline_copy(&mut self, why: &str) -> Result<(), Lost> {
        let mut request = BytesMut::new();
        frontend::copy_fail(why, &mut request)?;
        self.send(&request).await
    }

    /// The rows of a statement, or why it failed. For what is small: no more than a bounded number of rows is kept.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<Result<Vec<Row>, ServerError>, Lost> {
        let (mut rows, mut error) = (Vec::new(), None);
        self.query(sql).await?;
        loop {
            match self.event().await? {
                Event::Row(row) if rows.len() < ROWS_MAX => rows.push(row),
                Event::Failed(failed) => error = Some(failed),
                Event::Ready => return Ok(error.map_or(Ok(rows), Err)),
                _ => {}
            }
        }
    }

    /// Says goodbye. Nothing depends on it.
    pub(crate) async fn close(mut self) {
        let mut request = BytesMut::new();
        frontend::terminate(&mut request);
        self.send(&request).await.ok();
    }

    async fn send(&mut self, request: &[u8]) -> Result<(), Lost> {
        Ok(self.stream.write_all(request).await?)
    }

    /// What the server says next.
    pub(crate) async fn event(&mut self) -> Result<Event, Lost> {
        loop {
            let message = self.message().await?;
            if let Some(event) = self.read(message)? {
                return Ok(event);
            }
        }
    }

    fn read(&mut self, message: Message) -> Result<Option<Event>, Lost> {
        Ok(Some(match message {
            Message::RowDescription(described) => Event::Columns(columns(&described)?),
            Message::DataRow(row) => Event::Row(values(&row)?),
            Message::CopyOutResponse(_) => Event::CopyOut,
            Message::CopyInResponse(_) => Event::CopyIn,
            Message::CopyData(data) => Event::CopyData(data.into_bytes()),
            Message::CommandComplete(done) => Event::Done(done.tag()?.to_owned()),
            Message::EmptyQueryResponse => Event::Done(String::new()),
            Message::NoticeResponse(notice) => Event::Notice(server_error(notice.fields())?),
            Message::ErrorResponse(error) => Event::Failed(server_error(error.fields())?),
            Message::ReadyForQuery(ready) => {
                self.transaction = match ready.status() {
                    b'T' => Transaction::Open,
                    b'E' => Transaction::Failed,
                    _ => Transaction::None,
                };
                Event::Ready
            }
            Message::ParameterStatus(status) => {
                self.note(&status)?;
                return Ok(None);
            }
            // The end of a COPY is told by its tag, too.
            _ => return Ok(None),
        }))
    }

    async fn message(&mut self) -> Result<Message, Lost> {
        loop {
            if is_whole(&self.input)?
                && let Some(message) = Message::parse(&mut self.input)?
            {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// Whether a message is there from its type to its last byte.
fn is_whole(input: &[u8]) -> io::Result<bool> {
    let Some(header) = Header::parse(input)? else {
        return Ok(false);
    };
    let length = usize::try_from(header.len()).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES_MAX {
        let what = "a message is too long for one of PostgreSQL's protocol";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(input.len() > length)
}

fn columns(described: &backend::RowDescriptionBody) -> io::Result<Vec<Column>> {
    use postgres_protocol::message::backend::Field;
    let column = |field: Field<'_>| Column {
        name: field.name().to_owned(),
        type_oid: field.type_oid(),
    };
    let mut columns = Vec::new();
    let mut fields = described.fields();
    while let Some(field) = next(&mut fields)? {
        columns.push(column(field));
    }
    Ok(columns)
}

fn values(row: &backend::DataRowBody) -> io::Result<Row> {
    let mut values = Vec::new();
    let mut ranges = row.ranges();
    while let Some(range) = next(&mut ranges)? {
        values.push(range);
    }
    Ok(Row {
        bytes: row.buffer_bytes().clone(),
        values,
    })
}

fn server_error(mut fields: backend::ErrorFields<'_>) -> io::Result<ServerError> {
    let mut error = ServerError::default();
    while let Some(field) = next(&mut fields)? {
        let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'S' => error.severity = text,
            b'C' => error.state = text,
            b'M' => error.message = text,
            b'D' => error.detail = Some(text),
            b'H' => error.hint = Some(text),
            b'P' => error.position = text.parse().ok(),
            _ => {}
        }
    }
    Ok(error)
}

/// The next of a list of the protocol.
fn next<I: fallible_iterator::FallibleIterator<Error = io::Error>>(
    list: &mut I,
) -> io::Result<Option<I::Item>> {
    list.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_when_all_of_it_is_there() {
        let ready = [b'Z', 0, 0, 0, 5, b'I'];
        for length in 0..ready.len() {
            assert!(!is_whole(&ready[..length]).unwrap(), "{length}");
        }
        assert!(is_whole(&ready).unwrap());
    }

    #[test]
    fn a_length_that_cannot_be_true_is_an_error_at_once() {
        assert!(is_whole(&[b'D', 0x7f, 0xff, 0xff, 0xff]).is_err());
        assert!(is_whole(&[b'D', 0, 0, 0, 3]).is_err());
        assert!(is_whole(b"HTTP/1.1 400").is_err());
    }
}
