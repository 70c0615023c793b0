//! What is in a file, from a byte on: read from its store and decompressed on the way.
//!
//! Invariant: memory does not grow with the file, nor with what a compressed file becomes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use spec::Compression;

use super::error::FilesError;
use super::found::Found;
use super::store::Store;

const BUFFER: usize = 256 << 10;

/// Text that is read.
pub(super) type Content = Box<dyn BufRead + Send>;

/// What is in a file, from a byte of it on that is counted when it is not compressed.
pub(super) fn open(store: &Store, found: &Found, byte: u64) -> Result<Content, FilesError> {
    let compression = Compression::of(&found.path);
    if compression == Compression::None {
        if byte > found.size {
            let path = found.path.clone();
            return Err(FilesError::Beyond { path, byte });
        }
        let raw = store.open_at(found, byte)?;
        return Ok(Box::new(BufReader::with_capacity(BUFFER, raw)));
    }
    let raw = BufReader::with_capacity(BUFFER, store.open_at(found, 0)?);
    let decoder: Box<dyn Read + Send> = match compression {
        Compression::Gzip => Box::new(MultiGzDecoder::new(raw)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(raw)),
        Compression::Zstd => Box::new(
            zstd::stream::read::Decoder::with_buffer(raw)
                .map_err(|error| failure(error, found, 1, 0))?,
        ),
        Compression::None => Box::new(raw),
    };
    let mut content = BufReader::with_capacity(BUFFER, decoder);
    // There is no way into the middle of what is compressed but the one from its beginning.
    let skipped = io::copy(&mut (&mut content).take(byte), &mut io::sink());
    let skipped = skipped.map_err(|error| failure(error, found, 1, 0))?;
    if skipped < byte {
        let path = found.path.clone();
        return Err(FilesError::Beyond { path, byte });
    }
    Ok(Box::new(content))
}

/// Why reading failed at a record: the store, or what is compressed.
pub(super) fn failure(error: io::Error, found: &Found, row: u64, byte: u64) -> FilesError {
    let source = match error.downcast::<FilesError>() {
        Ok(failure) => return failure,
        Err(source) => source,
    };
    let path = found.path.clone();
    match Compression::of(&path) {
        Compression::None => FilesError::of_io(&path, source),
        compression => FilesError::Damaged {
            path,
            compression,
            row,
            byte,
            source,
        },
    }
}

/// A file whose failures are told from those of what decompresses it.
#[derive(Debug)]
pub(super) struct LocalReader {
    pub(super) file: File,
    pub(super) path: String,
}

impl Read for LocalReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let told = |error| io::Error::other(FilesError::of_io(&self.path, error));
        self.file.read(into).map_err(told)
    }
}

/// Leaves out the mark of UTF-8 in front of a text, and tells its length.
pub(super) fn skip_mark(mut content: Content, found: &Found) -> Result<(Content, u64), FilesError> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let mut start = Vec::with_capacity(MARK.len());
    (&mut content)
        .take(MARK.len() as u64)
        .read_to_end(&mut start)
        .map_err(|error| failure(error, found, 1, 0))?;
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        let path = found.path.clone();
        return Err(FilesError::Utf16 { path });
    }
    if start == MARK {
        return Ok((content, MARK.len() as u64));
    }
    Ok((Box::new(io::Cursor::new(start).chain(content)), 0))
}
