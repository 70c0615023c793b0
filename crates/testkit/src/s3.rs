//! A store on loopback that speaks S3's protocol as far as exports and files that are read need it, keeps objects in memory, and fails
//! when a test wants it to.
//!
//! It is strict where S3 is: it knows one access key; a part is kept when all of it has arrived; an upload of parts is an object
//! only when it is completed, with all its parts but the last of 5 MiB at least; `If-None-Match: *` refuses an object that is
//! there, `If-Match` one that has changed; a list has at most 1000 objects. It does not check signatures: `cargo xtask sql exports` asks a store that we did not write.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use env::Env;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};

/// The access key that it knows.
pub const ACCESS_KEY: &str = "tester";
/// The bucket that is there from the beginning.
pub const BUCKET: &str = "bucket";

const PART_BYTES_MIN: usize = 5 << 20;
/// So many objects are listed at once.
const LIST_MAX: usize = 1000;
/// A head of a request and its body; no test sends more at once.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status and code, and does nothing.
    Refuse(u16, &'static str),
    /// It does what it should, but the connection is cut in place of an answer.
    LoseAnswer,
    /// It is never answered.
    Hang,
    /// Another client puts an object of this name there first.
    Overtake,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Of an object, a range of it, or its head.
    Get,
    /// Of the objects of a bucket.
    List,
    /// An object in one request.
    Put,
    /// The beginning of an upload of parts.
    Begin,
    /// One of its parts.
    Part,
    /// Its end, which makes it an object.
    Complete,
    /// Its end without one.
    Abort,
    /// Of an object to another name.
    Copy,
    /// That an object is deleted, or several.
    Delete,
}

type Faults = Box<dyn FnMut(Operation) -> Option<Fault> + Send>;

/// What it has.
#[derive(Default)]
struct State {
    buckets: BTreeSet<String>,
    /// By `bucket/key`.
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, Upload>,
    uploads_begun: usize,
    asked: BTreeMap<Operation, usize>,
    faults: Option<Faults>,
}

#[derive(Default)]
struct Upload {
    name: String,
    parts: BTreeMap<usize, Vec<u8>>,
}

/// A running store; it ends with the runtime of the test.
pub struct S3 {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "S3({})", self.address)
    }
}

impl S3 {
    /// Starts one on a free port, with the bucket [`BUCKET`].
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State::default()));
        lock(&state).buckets.insert(BUCKET.to_owned());
        let shared = Arc::clone(&state);
        let spawner = Env::system().spawner;
        let connections = Arc::clone(&spawner);
        spawner.spawn(Box::pin(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(Box::pin(async move {
                    // A client that goes away is none of its faults.
                    let _ended = serve(socket, &state).await;
                }));
            }
        }));
        Self { address, state }
    }

    /// As `http://127.0.0.1:1234`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bytes of an object of [`BUCKET`].
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        let name = format!("{BUCKET}/{key}");
        lock(&self.state).objects.get(&name).cloned()
    }

    /// Puts an object into [`BUCKET`].
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let name = format!("{BUCKET}/{key}");
        lock(&self.state).objects.insert(name, bytes.to_vec());
    }

    /// Takes an object out of [`BUCKET`].
    pub fn remove(&self, key: &str) {
        let name = format!("{BUCKET}/{key}");
        lock(&self.state).objects.remove(&name);
    }

    /// The names of all objects, as `bucket/key`.
    pub fn names(&self) -> Vec<String> {
        lock(&self.state).objects.keys().cloned().collect()
    }

    /// The uploads that were begun and neither completed nor aborted, and how many parts each has.
    pub fn open_uploads(&self) -> Vec<usize> {
        let state = lock(&self.state);
        state
            .uploads
            .values()
            .map(|upload| upload.parts.len())
            .collect()
    }

    /// How often something was asked for.
    pub fn asked(&self, operation: Operation) -> usize {
        let asked = lock(&self.state).asked.get(&operation).copied();
        asked.unwrap_or_default()
    }

    /// Asks this before each request.
    pub fn fail(&self, faults: impl FnMut(Operation) -> Option<Fault> + Send + 'static) {
        lock(&self.state).faults = Some(Box::new(faults));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request over HTTP/1.1.
#[derive(Default)]
struct Request {
    method: String,
    /// `bucket/key`, decoded.
    name: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// An answer to one.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Whether only the head is sent.
    is_head: bool,
}

async fn serve(socket: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut stream = BufStream::new(socket);
    while let Some(request) = read(&mut stream).await? {
        let operation = operation(&request);
        let is_head = request.method == "HEAD";
        let fault = {
            let mut state = lock(state);
            *state.asked.entry(operation).or_default() += 1;
            state.faults.as_mut().and_then(|faults| faults(operation))
        };
        let mut answer = match fault {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Refuse(status, code)) => refused(status, code),
            Some(Fault::LoseAnswer) => {
                drop(lock(state).answer(operation, request));
                return Ok(());
            }
            Some(Fault::Overtake) => {
                let mut state = lock(state);
                let name = request.name.clone();
                state.objects.insert(name, b"another's".to_vec());
                state.answer(operation, request)
            }
            None => lock(state).answer(operation, request),
        };
        answer.is_head = is_head;
        write(&mut stream, &answer).await?;
    }
    Ok(())
}

fn operation(request: &Request) -> Operation {
    let has = |name: &str| request.query.contains_key(name);
    match request.method.as_str() {
        "PUT" if has("uploadId") => Operation::Part,
        "PUT" if request.headers.contains_key("x-amz-copy-source") => Operation::Copy,
        "PUT" => Operation::Put,
        "POST" if has("uploads") => Operation::Begin,
        "POST" if has("delete") => Operation::Delete,
        "POST" => Operation::Complete,
        "DELETE" if has("uploadId") => Operation::Abort,
        "DELETE" => Operation::Delete,
        _ if has("list-type") => Operation::List,
        _ => Operation::Get,
    }
}

impl State {
    fn answer(&mut self, operation: Operation, request: Request) -> Answer {
        let authorization = request.headers.get("authorization");
        let is_known = authorization.is_some_and(|text| {
            text.starts_with("AWS4-HMAC-SHA256 ")
                && text.contains(&format!("Credential={ACCESS_KEY}/"))
                && text.contains("Signature=")
        });
        if !is_known {
            return refused(403, "InvalidAccessKeyId");
        }
        let bucket = request.name.split('/').next().unwrap_or_default();
        if !self.buckets.contains(bucket) {
            return refused(404, "NoSuchBucket");
        }
        let only_new = request.headers.get("if-none-match").map(String::as_str) == Some("*");
        if only_new
            && matches!(operation, Operation::Put | Operation::Complete)
            && self.objects.contains_key(&request.name)
        {
            return refused(412, "PreconditionFailed");
        }
        match operation {
            Operation::Get => self.get(&request),
            Operation::List => self.list(&request),
            Operation::Put => {
                let answer = tagged(&request.body);
                self.objects.insert(request.name, request.body);
                answer
            }
            Operation::Copy => self.copy(request),
            Operation::Delete => self.delete(&request),
            Operation::Begin => self.begin(request),
            Operation::Part => self.part(request),
            Operation::Complete => self.complete(&request),
            Operation::Abort => match self.uploads.remove(id(&request)) {
                Some(_) => Answer::new(204, Vec::new()),
                None => refused(404, "NoSuchUpload"),
            },
        }
    }

    fn get(&self, request: &Request) -> Answer {
        let Some(object) = self.objects.get(&request.name) else {
            return refused(404, "NoSuchKey");
        };
        let wanted = request.headers.get("if-match");
        if wanted.is_some_and(|wanted| *wanted != etag(object)) {
            return refused(412, "PreconditionFailed");
        }
        let mut answer = tagged(object);
        answer.body.clone_from(object);
        let Some((first, last)) = request.headers.get("range").and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
        }) else {
            return answer;
        };
        let Some(part) = object.get(first..object.len().min(last.saturating_add(1))) else {
            return refused(416, "InvalidRange");
        };
        if part.is_empty() {
            return refused(416, "InvalidRange");
        }
        answer.status = 206;
        let end = first + part.len() - 1;
        let range = format!("bytes {first}-{end}/{}", object.len());
        answer.headers.push(("content-range", range));
        answer.body = part.to_vec();
        answer
    }

    /// By name, a page behind the last.
    fn list(&self, request: &Request) -> Answer {
        let query = |name: &str| request.query.get(name).map_or("", String::as_str);
        let bucket = request.name.trim_end_matches('/');
        let after = query("continuation-token");
        let keys = self.objects.iter().filter_map(|(name, object)| {
            let key = name.strip_prefix(bucket)?.strip_prefix('/')?;
            (key.starts_with(query("prefix")) && key > after).then_some((key, object))
        });
        let listed: Vec<_> = keys.take(LIST_MAX + 1).collect();
        let mut body = "<ListBucketResult>".to_owned();
        for (key, object) in listed.iter().take(LIST_MAX) {
            let _written = write!(
                body,
                "<Contents><Key>{}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
                 <ETag>{}</ETag><Size>{}</Size></Contents>",
                escaped(key),
                escaped(&etag(object)),
                object.len()
            );
        }
        let is_cut = listed.len() > LIST_MAX;
        let _written = write!(body, "<IsTruncated>{is_cut}</IsTruncated>");
        if let Some((last, _)) = listed.get(LIST_MAX - 1).filter(|_| is_cut) {
            let token = escaped(last);
            let _written = write!(
                body,
                "<NextContinuationToken>{token}</NextContinuationToken>"
            );
        }
        body.push_str("</ListBucketResult>");
        Answer::new(200, body.into_bytes())
    }

    fn copy(&mut self, request: Request) -> Answer {
        let from = request.headers.get("x-amz-copy-source");
        let from = from.map(|from| decoded(from.trim_start_matches('/')));
        let Some(object) = from.and_then(|from| self.objects.get(&from).cloned()) else {
            return refused(404, "NoSuchKey");
        };
        let body = format!(
            "<CopyObjectResult><ETag>{}</ETag></CopyObjectResult>",
            escaped(&etag(&object))
        );
        self.objects.insert(request.name, object);
        Answer::new(200, body.into_bytes())
    }

    /// One by its name, or several that the body names.
    fn delete(&mut self, request: &Request) -> Answer {
        if request.method == "DELETE" {
            self.objects.remove(&request.name);
            return Answer::new(204, Vec::new());
        }
        let bucket = request.name.trim_end_matches('/');
        let listed = String::from_utf8_lossy(&request.body);
        let mut body = "<DeleteResult>".to_owned();
        for rest in listed.split("<Key>").skip(1) {
            let key = rest.split("</Key>").next().unwrap_or_default();
            self.objects.remove(&format!("{bucket}/{}", unescaped(key)));
            let _written = write!(body, "<Deleted><Key>{key}</Key></Deleted>");
        }
        body.push_str("</DeleteResult>");
        Answer::new(200, body.into_bytes())
    }

    fn begin(&mut self, request: Request) -> Answer {
        self.uploads_begun += 1;
        let id = format!("upload-{}", self.uploads_begun);
        let body = format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        let upload = Upload {
            name: request.name,
            parts: BTreeMap::new(),
        };
        self.uploads.insert(id, upload);
        Answer::new(200, body.into_bytes())
    }

    fn part(&mut self, request: Request) -> Answer {
        let number = request.query.get("partNumber");
        let number = number.and_then(|number| number.parse().ok());
        let upload = self.uploads.get_mut(id(&request));
        match upload.zip(number) {
            Some((upload, number)) => {
                let answer = tagged(&request.body);
                upload.parts.insert(number, request.body);
                answer
            }
            None => refused(404, "NoSuchUpload"),
        }
    }

    fn complete(&mut self, request: &Request) -> Answer {
        let Some(upload) = self.uploads.get(id(request)) else {
            return refused(404, "NoSuchUpload");
        };
        let listed = String::from_utf8_lossy(&request.body);
        let listed: Vec<usize> = listed
            .split("<PartNumber>")
            .skip(1)
            .filter_map(|rest| rest.split('<').next()?.parse().ok())
            .collect();
        if !listed.iter().eq(upload.parts.keys()) || upload.name != request.name {
            return refused(400, "InvalidPart");
        }
        let all_but_last = upload.parts.len().saturating_sub(1);
        if upload
            .parts
            .values()
            .take(all_but_last)
            .any(|part| part.len() < PART_BYTES_MIN)
        {
            return refused(400, "EntityTooSmall");
        }
        let parts: Vec<_> = upload.parts.values().cloned().collect();
        self.objects.insert(request.name.clone(), parts.concat());
        self.uploads.remove(id(request));
        let body =
            "<CompleteMultipartUploadResult><ETag>\"tag\"</ETag></CompleteMultipartUploadResult>";
        Answer::new(200, body.as_bytes().to_vec())
    }
}

fn id(request: &Request) -> &str {
    request.query.get("uploadId").map_or("", String::as_str)
}

impl Answer {
    fn new(status: u16, body: Vec<u8>) -> Self {
        let headers = Vec::new();
        Self {
            status,
            headers,
            body,
            is_head: false,
        }
    }
}

/// Two objects of the same bytes have the same.
fn etag(object: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    object.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

const ESCAPES: [(&str, &str); 4] = [
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ("\"", "&quot;"),
];

fn escaped(text: &str) -> String {
    let escape = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
    ESCAPES.iter().fold(text.to_owned(), escape)
}

fn unescaped(text: &str) -> String {
    let unescape = |text: String, (to, from): &(&str, &str)| text.replace(from, to);
    ESCAPES.iter().rev().fold(text.to_owned(), unescape)
}

fn tagged(object: &[u8]) -> Answer {
    let mut answer = Answer::new(200, Vec::new());
    let modified = "Mon, 01 Jan 2024 00:00:00 GMT".to_owned();
    answer.headers.push(("etag", etag(object)));
    answer.headers.push(("last-modified", modified));
    answer
}

fn refused(status: u16, code: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as the test wants it</Message>\
         <AWSAccessKeyId>not for clients</AWSAccessKeyId></Error>"
    );
    Answer::new(status, body.into_bytes())
}

/// Reads a request; `None` if there are no more.
async fn read(stream: &mut BufStream<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method,
        name: decoded(path.trim_start_matches('/')),
        ..Request::default()
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        request.query.insert(decoded(name), decoded(value));
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        let value = value.trim().to_owned();
        request.headers.insert(name.to_ascii_lowercase(), value);
    }
    let length = request.headers.get("content-length");
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).await?;
    Ok(Some(request))
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3);
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(meant) if *byte == b'%' => {
                decoded.push(meant);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

async fn write(stream: &mut BufStream<TcpStream>, answer: &Answer) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} -\r\n", answer.status);
    for (name, value) in &answer.headers {
        let _written = write!(head, "{name}: {value}\r\n");
    }
    if answer.status != 204 {
        let _written = write!(head, "content-length: {}\r\n", answer.body.len());
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    if !answer.is_head {
        stream.write_all(&answer.body).await?;
    }
    stream.flush().await
}
