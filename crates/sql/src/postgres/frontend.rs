//! What clients send: packets of the start, then messages with a type byte.
//!
//! Invariant: any bytes decode to a message or to an error that says what is wrong; nothing panics, nothing is read past the
//! message it belongs to, and nothing is allocated for a count that the bytes behind it do not vouch for. (pgwire's decoders
//! panic on truncated messages and read on into the next one, which is why these are ours.)

use bytes::{Buf, Bytes};

/// The longest message: the text of a query or a bound parameter. PostgreSQL's own limit is a GiB.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest packet of the start, as in PostgreSQL (`MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_BYTES_MAX: usize = 10_000;

/// `SSLRequest`, `GSSENCRequest` and `CancelRequest` in place of a version.
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("invalid length {0} of a message")]
    Length(u32),
    #[error("a message ends before its contents do")]
    Truncated,
    #[error("a message has {0} bytes behind its contents")]
    Trailing(usize),
    #[error("a string is not UTF-8")]
    NotUtf8,
    #[error("invalid format code {0}")]
    Format(i16),
    #[error("neither a statement ('S') nor a portal ('P'): {0:#04x}")]
    Target(u8),
    #[error("unknown message type {0:#04x}")]
    Type(u8),
    #[error("unsupported protocol version {0}.{1}")]
    Version(u16, u16),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

impl Format {
    pub(super) const fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }
}

/// What a packet of the start wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Startup {
    /// TLS or GSSAPI, which are answered by "no".
    Encryption,
    /// End what the session with this key does.
    Cancel { process: i32, secret: Bytes },
    /// A session.
    Session {
        minor: u16,
        parameters: Vec<(String, String)>,
    },
}

/// A statement or a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Statement,
    Portal,
}

/// A message of a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Query(String),
    Parse {
        name: String,
        query: String,
        types: Vec<u32>,
    },
    Bind {
        portal: String,
        statement: String,
        formats: Vec<Format>,
        values: Vec<Option<Bytes>>,
        results: Vec<Format>,
    },
    Describe(Target, String),
    Execute {
        portal: String,
        rows_max: i32,
    },
    Close(Target, String),
    Flush,
    Sync,
    Terminate,
    /// The next bytes of a COPY FROM. They and its ends are ignored outside of one, as PostgreSQL does.
    CopyData(Bytes),
    CopyDone,
    /// The client gives up; its reason.
    CopyFail(String),
    /// An answer to a request for a password, which was not made.
    Password,
}

impl Message {
    /// Whether it belongs to the extended protocol, whose errors hold until the next `Sync`.
    pub(super) fn is_extended(&self) -> bool {
        matches!(
            self,
            Self::Parse { .. }
                | Self::Bind { .. }
                | Self::Describe(..)
                | Self::Execute { .. }
                | Self::Close(..)
                | Self::Flush
        )
    }
}

/// The length of the packet that begins with these bytes, its length field included, once it can be told.
pub(super) fn startup_length(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    length(bytes, 8, STARTUP_BYTES_MAX)
}

/// The length of the message that begins with these bytes, type byte included, once it can be told.
pub(super) fn message_length(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some((kind, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    // Garbage is told from its first byte instead of after the length it happens to claim.
    if !b"QPBDECHSXdcfp".contains(kind) {
        return Err(DecodeError::Type(*kind));
    }
    Ok(length(rest, 4, MESSAGE_BYTES_MAX)?.map(|length| length + 1))
}

fn length(bytes: &[u8], min: usize, max: usize) -> Result<Option<usize>, DecodeError> {
    let Some(prefix) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let claimed = u32::from_be_bytes(*prefix);
    match usize::try_from(claimed) {
        Ok(length) if (min..=max).contains(&length) => Ok(Some(length)),
        _ => Err(DecodeError::Length(claimed)),
    }
}

/// Decodes one whole packet of the start.
pub(super) fn startup(packet: Bytes) -> Result<Startup, DecodeError> {
    let mut body = Body(packet);
    body.take(4)?;
    match body.u32()? {
        SSL_REQUEST | GSS_REQUEST => Ok(Startup::Encryption),
        CANCEL_REQUEST => Ok(Startup::Cancel {
            process: body.i32()?,
            secret: body.0,
        }),
        version => {
            let (major, minor) = ((version >> 16) as u16, version as u16);
            if major != 3 {
                return Err(DecodeError::Version(major, minor));
            }
            let mut parameters = Vec::new();
            loop {
                let name = body.string()?;
                if name.is_empty() {
                    break;
                }
                parameters.push((name, body.string()?));
            }
            body.end()?;
            Ok(Startup::Session { minor, parameters })
        }
    }
}

/// Decodes one whole message.
pub(super) fn message(packet: Bytes) -> Result<Message, DecodeError> {
    let mut body = Body(packet);
    let kind = body.u8()?;
    body.take(4)?;
    let message = match kind {
        b'Q' => Message::Query(body.string()?),
        b'P' => Message::Parse {
            name: body.string()?,
            query: body.string()?,
            types: body.counted(4, Body::u32)?,
        },
        b'B' => Message::Bind {
            portal: body.string()?,
            statement: body.string()?,
            formats: body.counted(2, Body::format)?,
            values: body.counted(4, Body::value)?,
            results: body.counted(2, Body::format)?,
        },
        b'D' => Message::Describe(body.target()?, body.string()?),
        b'E' => Message::Execute {
            portal: body.string()?,
            rows_max: body.i32()?,
        },
        b'C' => Message::Close(body.target()?, body.string()?),
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'd' => Message::CopyData(std::mem::take(&mut body.0)),
        b'c' => Message::CopyDone,
        b'f' => Message::CopyFail(body.string()?),
        b'p' => return Ok(Message::Password),
        other => return Err(DecodeError::Type(other)),
    };
    body.end()?;
    Ok(message)
}

/// What is left of one message.
struct Body(Bytes);

impl Body {
    fn take(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        if self.0.len() < count {
            return Err(DecodeError::Truncated);
        }
        Ok(self.0.split_to(count))
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?.get_u8())
    }

    fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(self.take(2)?.get_i16())
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(self.take(4)?.get_i32())
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(self.take(4)?.get_u32())
    }

    /// Up to a zero byte, which is not part of it.
    fn string(&mut self) -> Result<String, DecodeError> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let bytes = self.take(end.ok_or(DecodeError::Truncated)?)?;
        self.take(1)?;
        let text = std::str::from_utf8(&bytes).map_err(|_invalid| DecodeError::NotUtf8)?;
        Ok(text.to_owned())
    }

    /// A count of two bytes and as many items, each of at least `item_bytes`.
    fn counted<T>(
        &mut self,
        item_bytes: usize,
        item: impl Fn(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = usize::from(self.i16()? as u16);
        if count * item_bytes > self.0.len() {
            return Err(DecodeError::Truncated);
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn format(&mut self) -> Result<Format, DecodeError> {
        match self.i16()? {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(DecodeError::Format(other)),
        }
    }

    /// A value with its length; a negative length is NULL.
    fn value(&mut self) -> Result<Option<Bytes>, DecodeError> {
        match usize::try_from(self.i32()?) {
            Ok(length) => Ok(Some(self.take(length)?)),
            Err(_negative) => Ok(None),
        }
    }

    fn target(&mut self) -> Result<Target, DecodeError> {
        match self.u8()? {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            other => Err(DecodeError::Target(other)),
        }
    }

    fn end(&self) -> Result<(), DecodeError> {
        match self.0.len() {
            0 => Ok(()),
            rest => Err(DecodeError::Trailing(rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: u8, body: &[u8]) -> Bytes {
        let length = u32::try_from(body.len() + 4).unwrap();
        let mut packet = vec![kind];
        packet.extend(length.to_be_bytes());
        packet.extend(body);
        Bytes::from(packet)
    }

    #[test]
    fn every_prefix_of_a_message_is_an_error_and_none_panics() {
        let bodies: [(u8, &[u8]); 7] = [
            (b'Q', b"select 1\0"),
            (b'P', b"s\0select $1\0\0\x01\0\0\0\x17"),
            (
                b'B',
                b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x01\0\0",
            ),
            (b'D', b"Ss\0"),
            (b'E', b"p\0\0\0\0\x05"),
            (b'C', b"Pp\0"),
            (b'S', b""),
        ];
        for (kind, body) in bodies {
            assert!(message(framed(kind, body)).is_ok(), "{}", kind as char);
            for end in 0..body.len() {
                let cut = message(framed(kind, &body[..end]));
                assert!(cut.is_err(), "{} cut at {end}: {cut:?}", kind as char);
            }
            let mut longer = body.to_vec();
            longer.push(7);
            assert_eq!(
                message(framed(kind, &longer)),
                Err(DecodeError::Trailing(1))
            );
        }
    }

    #[test]
    fn counts_are_not_believed() {
        let claims = framed(b'B', b"\0\0\0\0\xff\xff");
        assert_eq!(message(claims), Err(DecodeError::Truncated));
        let value = framed(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0");
        assert_eq!(message(value), Err(DecodeError::Truncated));
    }

    #[test]
    fn lengths_outside_of_the_limits_are_told_at_once() {
        assert_eq!(message_length(b"Q\0\0"), Ok(None));
        assert_eq!(message_length(b"Q\0\0\0\x03"), Err(DecodeError::Length(3)));
        assert_eq!(
            message_length(b"Q\x7f\xff\xff\xff"),
            Err(DecodeError::Length(0x7fff_ffff))
        );
        assert_eq!(
            message_length(b"\x16\x03\x01\x02\0"),
            Err(DecodeError::Type(0x16))
        );
        assert_eq!(
            startup_length(b"GET / HTTP/1.1"),
            Err(DecodeError::Length(0x4745_5420))
        );
        assert_eq!(startup_length(b"\0\0\0\x07"), Err(DecodeError::Length(7)));
    }

    #[test]
    fn packets_of_the_start() {
        let ssl = Bytes::from_static(b"\0\0\0\x08\x04\xd2\x16\x2f");
        assert_eq!(startup(ssl), Ok(Startup::Encryption));
        let cancel = Bytes::from_static(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\0\0\0\x09");
        let secret = Bytes::from_static(b"\0\0\0\x09");
        assert_eq!(startup(cancel), Ok(Startup::Cancel { process: 7, secret }));
        let session = Bytes::from_static(b"\0\0\0\x12\0\x03\0\0user\0me\0\0");
        let parameters = vec![("user".to_owned(), "me".to_owned())];
        assert_eq!(
            startup(session),
            Ok(Startup::Session {
                minor: 0,
                parameters
            })
        );
        let old = Bytes::from_static(b"\0\0\0\x08\0\x02\0\0");
        assert_eq!(startup(old), Err(DecodeError::Version(2, 0)));
    }

    /// Messages with bytes changed, cut and added, by numbers that are the same in every run (xorshift).
    #[test]
    fn any_bytes_are_a_message_or_an_error() {
        let samples: [&[u8]; 4] = [
            b"s\0select $1\0\0\x01\0\0\0\x17",
            b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x01\0\0",
            b"Ss\0",
            b"p\0\0\0\0\x05",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % limit as u64).unwrap()
        };
        let mut decoded = 0;
        for _ in 0..200_000 {
            let kind = b"QPBDECHSXdcfp"[random(13)];
            let mut body = samples[random(samples.len())].to_vec();
            for _ in 0..random(4) {
                let place = random(body.len());
                body[place] = u8::try_from(random(256)).unwrap();
            }
            body.truncate(random(body.len() + 1).max(random(body.len() + 1)));
            decoded += usize::from(message(framed(kind, &body)).is_ok());
            let _either = startup(framed(0, &body).slice(1..));
        }
        assert!(decoded > 1000, "most of the bytes are near to messages");
    }
}
