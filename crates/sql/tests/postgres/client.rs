//! A client of its own: what it sends and reads is written here from the protocol's documentation.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far more than anything takes here; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A message of the server: its type byte and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) kind: char,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The fields of an error or a notice.
    pub(crate) fn field(&self, field: char) -> Option<String> {
        assert!(matches!(self.kind, 'E' | 'N'), "{self:?}");
        let fields = self.body.split(|byte| *byte == 0);
        let mut fields = fields.filter_map(|field| field.split_first());
        let found = fields.find(|(name, _)| char::from(**name) == field);
        found.map(|(_, text)| String::from_utf8(text.to_vec()).unwrap())
    }

    /// The values of a row as text, NULL as "NULL".
    pub(crate) fn row(&self) -> Vec<String> {
        let texts = self.values().into_iter();
        texts
            .map(|value| {
                value.map_or_else(
                    || "NULL".to_owned(),
                    |value| String::from_utf8(value).unwrap(),
                )
            })
            .collect()
    }

    pub(crate) fn values(&self) -> Vec<Option<Vec<u8>>> {
        assert_eq!(self.kind, 'D', "{self:?}");
        let mut reader = Reader(&self.body);
        let count = reader.i16();
        (0..count).map(|_| reader.value()).collect()
    }

    /// Names, oids and formats of a row description.
    pub(crate) fn columns(&self) -> Vec<(String, u32, i16)> {
        assert_eq!(self.kind, 'T', "{self:?}");
        let mut reader = Reader(&self.body);
        let count = reader.i16();
        let column = |_| {
            let name = reader.string();
            reader.take(6);
            let oid = u32::try_from(reader.i32()).unwrap();
            reader.take(6);
            (name, oid, reader.i16())
        };
        (0..count).map(column).collect()
    }

    /// The oids of a parameter description.
    pub(crate) fn parameters(&self) -> Vec<i32> {
        assert_eq!(self.kind, 't', "{self:?}");
        let mut reader = Reader(&self.body);
        let count = reader.i16();
        (0..count).map(|_| reader.i32()).collect()
    }

    /// The body as one string.
    pub(crate) fn text(&self) -> String {
        Reader(&self.body).string()
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn string(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap();
        let text = String::from_utf8(self.take(end).to_vec()).unwrap();
        self.take(1);
        text
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.i32()).ok()?;
        Some(self.take(length).to_vec())
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// The process and secret of `BackendKeyData`.
    pub(crate) key: Vec<u8>,
    /// `ParameterStatus`, as told last.
    pub(crate) settings: std::collections::BTreeMap<String, String>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[("user", "tester"), ("database", "any")]).await
    }

    pub(crate) async fn connect_with(address: SocketAddr, parameters: &[(&str, &str)]) -> Self {
        let mut client = Self::open(address).await;
        client.send_startup(parameters).await;
        client.until_ready().await;
        client
    }

    /// A socket on which nothing was said yet.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            key: Vec::new(),
            settings: std::collections::BTreeMap::new(),
        }
    }

    pub(crate) async fn send_startup(&mut self, parameters: &[(&str, &str)]) {
        let mut body = vec![0, 3, 0, 0];
        for (name, value) in parameters {
            body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        body.push(0);
        self.send_packet(&body).await;
    }

    /// A packet without a type byte.
    pub(crate) async fn send_packet(&mut self, body: &[u8]) {
        let length = i32::try_from(body.len() + 4).unwrap();
        self.send_raw(&[&length.to_be_bytes(), body].concat()).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send(&mut self, kind: char, body: &[u8]) {
        self.send_raw(&message(kind, body)).await;
    }

    /// The next message; none at the end.
    pub(crate) async fn receive(&mut self) -> Option<Reply> {
        let mut head = [0; 5];
        let read = tokio::time::timeout(PATIENCE, self.stream.read_exact(&mut head));
        if read.await.expect("an answer in time").is_err() {
            return None;
        }
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        let read = tokio::time::timeout(PATIENCE, self.stream.read_exact(&mut body));
        read.await.expect("an answer in time").unwrap();
        let reply = Reply {
            kind: char::from(head[0]),
            body,
        };
        match reply.kind {
            'K' => self.key = reply.body.clone(),
            'S' => {
                let mut reader = Reader(&reply.body);
                self.settings.insert(reader.string(), reader.string());
            }
            _ => {}
        }
        Some(reply)
    }

    /// The messages up to `ReadyForQuery`, that included.
    pub(crate) async fn until_ready(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        loop {
            let reply = self
                .receive()
                .await
                .unwrap_or_else(|| panic!("the end after {replies:?}"));
            let is_ready = reply.kind == 'Z';
            replies.push(reply);
            if is_ready {
                return replies;
            }
        }
    }

    /// All messages up to the end of the stream.
    pub(crate) async fn until_end(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some(reply) = self.receive().await {
            replies.push(reply);
        }
        replies
    }

    pub(crate) async fn send_query(&mut self, sql: &str) {
        self.send('Q', &[sql.as_bytes(), b"\0"].concat()).await;
    }

    /// The answers to a simple query.
    pub(crate) async fn query(&mut self, sql: &str) -> Vec<Reply> {
        self.send_query(sql).await;
        self.until_ready().await
    }

    /// The rows of a simple query that must succeed.
    pub(crate) async fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        let replies = self.query(sql).await;
        let error = replies.iter().find(|reply| reply.kind == 'E');
        assert!(
            error.is_none(),
            "{sql}: {:?}",
            error.map(|error| error.field('M'))
        );
        replies
            .iter()
            .filter(|reply| reply.kind == 'D')
            .map(Reply::row)
            .collect()
    }

    /// The one value of a simple query.
    pub(crate) async fn value(&mut self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{sql}: {rows:?}");
        rows[0][0].clone()
    }

    /// The error of a simple query that must fail.
    pub(crate) async fn error(&mut self, sql: &str) -> Reply {
        let replies = self.query(sql).await;
        let error = replies.iter().find(|reply| reply.kind == 'E').cloned();
        error.unwrap_or_else(|| panic!("{sql} did not fail: {replies:?}"))
    }

    /// The SQLSTATE of a simple query that must fail.
    pub(crate) async fn state(&mut self, sql: &str) -> String {
        self.error(sql).await.field('C').unwrap()
    }
}

/// A framed message.
pub(crate) fn message(kind: char, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [
        &[u8::try_from(kind).unwrap()],
        &length.to_be_bytes()[..],
        body,
    ]
    .concat()
}

/// The types of the replies, one letter each.
pub(crate) fn kinds(replies: &[Reply]) -> String {
    replies.iter().map(|reply| reply.kind).collect()
}

/// `Parse` with declared types.
pub(crate) fn parse(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = [name.as_bytes(), b"\0", sql.as_bytes(), b"\0"].concat();
    body.extend(u16::try_from(types.len()).unwrap().to_be_bytes());
    body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
    message('P', &body)
}

/// `Bind` with formats for all parameters and all results.
pub(crate) fn bind(
    portal: &str,
    statement: &str,
    format: i16,
    values: &[Option<&[u8]>],
    result: i16,
) -> Vec<u8> {
    let mut body = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0"].concat();
    body.extend([0, 1]);
    body.extend(format.to_be_bytes());
    body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        match value {
            Some(value) => {
                body.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
                body.extend(*value);
            }
            None => body.extend((-1_i32).to_be_bytes()),
        }
    }
    body.extend([0, 1]);
    body.extend(result.to_be_bytes());
    message('B', &body)
}

pub(crate) fn describe(target: char, name: &str) -> Vec<u8> {
    message(
        'D',
        &[&[u8::try_from(target).unwrap()], name.as_bytes(), b"\0"].concat(),
    )
}

pub(crate) fn close(target: char, name: &str) -> Vec<u8> {
    message(
        'C',
        &[&[u8::try_from(target).unwrap()], name.as_bytes(), b"\0"].concat(),
    )
}

pub(crate) fn execute(portal: &str, rows_max: i32) -> Vec<u8> {
    message(
        'E',
        &[portal.as_bytes(), b"\0", &rows_max.to_be_bytes()].concat(),
    )
}

pub(crate) fn sync() -> Vec<u8> {
    message('S', b"")
}

impl Client {
    /// Whether the start led to a session.
    pub(crate) async fn until_end_or_ready(&mut self) -> bool {
        while let Some(reply) = self.receive().await {
            if reply.kind == 'Z' {
                return true;
            }
        }
        false
    }
}
