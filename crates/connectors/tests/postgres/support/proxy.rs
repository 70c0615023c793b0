//! Between a client and PostgreSQL: it hands on whole messages of the protocol, and cuts the line after the one that it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How a proxy is told.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// How many messages pass, of both sides together; negative for all.
    left: Arc<AtomicI64>,
    stays: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicI64::new(-1));
        let stays = Arc::new(AtomicBool::new(false));
        let (counter, keeps) = (Arc::clone(&left), Arc::clone(&stays));
        super::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    continue;
                };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                // Of this line alone: a cut that is told late must not meet the line that came after it.
                let (cut, _) = watch::channel(false);
                for (from, to, starts) in [
                    (from_client, to_server, true),
                    (from_server, to_client, false),
                ] {
                    let (counter, keeps, sender) =
                        (Arc::clone(&counter), Arc::clone(&keeps), cut.clone());
                    let mut cut = cut.subscribe();
                    super::spawn(async move {
                        tokio::select! {
                            biased;
                            _ = cut.changed() => {}
                            () = pass(from, to, starts, &counter, &keeps, &sender) => {}
                        }
                    });
                }
            }
        });
        Self {
            port: own,
            left,
            stays,
        }
    }

    /// Lets so many messages pass, and then cuts the line of the last; new ones pass.
    pub(crate) fn cut_after(&self, messages: i64) {
        self.stays.store(false, Ordering::SeqCst);
        self.left.store(messages, Ordering::SeqCst);
    }

    /// Lets so many messages pass, and then cuts every line at its next message, new ones too.
    pub(crate) fn end_after(&self, messages: i64) {
        self.stays.store(true, Ordering::SeqCst);
        self.left.store(messages, Ordering::SeqCst);
    }

    /// Lets everything pass; whether it had cut.
    pub(crate) fn mend(&self) -> bool {
        self.left.swap(-1, Ordering::SeqCst) <= 0
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    starts: bool,
    left: &AtomicI64,
    stays: &AtomicBool,
    cut: &watch::Sender<bool>,
) {
    // A client begins with a message without a letter.
    let mut has_letter = !starts;
    loop {
        let mut message = Vec::new();
        if has_letter {
            match from.read_u8().await {
                Ok(letter) => message.push(letter),
                Err(_ended) => return,
            }
        }
        has_letter = true;
        let Ok(length) = from.read_i32().await else {
            return;
        };
        message.extend(length.to_be_bytes());
        let start = message.len();
        message.resize(start + usize::try_from(length).unwrap() - 4, 0);
        if from.read_exact(&mut message[start..]).await.is_err() {
            return;
        }
        let one_less = |left: i64| (left > 0).then(|| left - 1);
        let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        let before = before.unwrap_or_else(|unchanged| unchanged);
        if before == 0 || to.write_all(&message).await.is_err() {
            cut.send_replace(true);
            return;
        }
        if before == 1 {
            if !stays.load(Ordering::SeqCst) {
                left.store(-1, Ordering::SeqCst);
            }
            cut.send_replace(true);
            return;
        }
    }
}
