//! The four codecs of record batches, with a cap on what decompression may produce.
//!
//! Invariant: [`decompress`] never holds more than `max_output` bytes of output plus a fixed buffer of the codec,
//! whatever the input claims. Which variants of a format occur: snappy comes framed by xerial from Java and raw from
//! librdkafka, both are read and xerial is written; lz4 is the frame format with independent blocks, since Java refuses
//! linked ones (KIP-57).
use std::io::{self, Read, Write};

/// Codec of a batch; the number is what its attributes hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Compression {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Compression {
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    #[must_use]
    pub fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.id() == id)
    }

    /// Kafka's name, as in `compression.type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, thiserror::Error)]
pub enum CompressionError {
    #[error("{codec} data decompresses to more than {limit} bytes")]
    OutputTooLarge { codec: Compression, limit: usize },
    #[error("{codec} data is corrupt")]
    Corrupt {
        codec: Compression,
        #[source]
        source: io::Error,
    },
    #[error("{codec} has no level {level}")]
    InvalidLevel { codec: Compression, level: i32 },
    #[error("cannot compress with {codec}")]
    Failed {
        codec: Compression,
        #[source]
        source: io::Error,
    },
}

/// Step in which output grows, so that a small bomb is noticed after little.
const CHUNK: usize = 16 * 1024;
/// Largest zstd window accepted, 128 MiB: what level 22 declares, the highest Kafka's producer takes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Block of xerial's snappy stream, as `SnappyOutputStream` writes it.
const XERIAL_BLOCK: usize = 32 * 1024;
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER: usize = 16;
/// No snappy element yields more than 64 bytes from 3, so 22 is above every honest ratio.
const SNAPPY_RATIO_MAX: usize = 22;

/// Decompresses all of `input` into at most `max_output` bytes.
pub fn decompress(
    codec: Compression,
    input: &[u8],
    max_output: usize,
) -> Result<Vec<u8>, CompressionError> {
    let corrupt = |source| CompressionError::Corrupt { codec, source };
    match codec {
        Compression::None if input.len() > max_output => Err(CompressionError::OutputTooLarge {
            codec,
            limit: max_output,
        }),
        Compression::None => Ok(input.to_vec()),
        // Java's GZIPInputStream goes on over concatenated members too.
        Compression::Gzip => {
            read_capped(codec, flate2::read::MultiGzDecoder::new(input), max_output)
        }
        Compression::Snappy => snappy_decompress(input, max_output),
        Compression::Lz4 => {
            read_capped(codec, lz4_flex::frame::FrameDecoder::new(input), max_output)
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(corrupt)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(corrupt)?;
            read_capped(codec, decoder, max_output)
        }
    }
}

fn read_capped(
    codec: Compression,
    mut reader: impl Read,
    max_output: usize,
) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::new();
    let mut chunk = [0; CHUNK];
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => return Ok(output),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(CompressionError::Corrupt { codec, source }),
        };
        if read > max_output.saturating_sub(output.len()) {
            return Err(CompressionError::OutputTooLarge {
                codec,
                limit: max_output,
            });
        }
        if output.capacity().saturating_sub(output.len()) < read {
            // Doubled, but never beyond what may come: the bound is one of memory.
            let wanted = output.capacity().saturating_mul(2).min(max_output);
            output.reserve_exact(wanted.saturating_sub(output.len()).max(read));
        }
        output.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
}

fn snappy_corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CompressionError {
    let source = io::Error::new(io::ErrorKind::InvalidData, source);
    CompressionError::Corrupt {
        codec: Compression::Snappy,
        source,
    }
}

fn snappy_decompress(input: &[u8], max_output: usize) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::new();
    if !input.starts_with(&XERIAL_MAGIC) {
        snappy_block(input, &mut output, max_output)?;
        return Ok(output);
    }
    let mut rest = input
        .get(XERIAL_HEADER..)
        .ok_or_else(|| snappy_corrupt("stream header is cut off"))?;
    while !rest.is_empty() {
        // Concatenated streams repeat the header (`SnappyInputStream.readFully`).
        if rest.starts_with(&XERIAL_MAGIC) {
            rest = rest
                .get(XERIAL_HEADER..)
                .ok_or_else(|| snappy_corrupt("stream header is cut off"))?;
            continue;
        }
        let (length, tail) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| snappy_corrupt("block length is cut off"))?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(snappy_corrupt)?;
        let (block, tail) = tail
            .split_at_checked(length)
            .ok_or_else(|| snappy_corrupt("block is cut off"))?;
        snappy_block(block, &mut output, max_output)?;
        rest = tail;
    }
    Ok(output)
}

/// Appends one raw snappy block. The length it declares is believed only within the cap and within what its bytes can yield.
fn snappy_block(
    block: &[u8],
    output: &mut Vec<u8>,
    max_output: usize,
) -> Result<(), CompressionError> {
    let length = snap::raw::decompress_len(block).map_err(snappy_corrupt)?;
    let start = output.len();
    if length > max_output.saturating_sub(start) {
        return Err(CompressionError::OutputTooLarge {
            codec: Compression::Snappy,
            limit: max_output,
        });
    }
    if length > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(snappy_corrupt(
            "block declares more than its bytes can yield",
        ));
    }
    output.resize(start.saturating_add(length), 0);
    let target = output.get_mut(start..).unwrap_or_default();
    let written = snap::raw::Decoder::new()
        .decompress(block, target)
        .map_err(snappy_corrupt)?;
    output.truncate(start.saturating_add(written));
    Ok(())
}

/// Compresses `input`. `level` is Kafka's: gzip 1–9, lz4 1–17, zstd -131072–22; `None` is the codec's default.
///
/// Our lz4 encoder has one speed, so a level of lz4 is checked and has no further effect; snappy and none have no level.
pub fn compress(
    codec: Compression,
    level: Option<i32>,
    input: &[u8],
) -> Result<Vec<u8>, CompressionError> {
    check_level(codec, level)?;
    let failed = |source| CompressionError::Failed { codec, source };
    match codec {
        Compression::None => Ok(input.to_vec()),
        Compression::Gzip => {
            let level = level
                .and_then(|level| u32::try_from(level).ok())
                .map_or_else(Default::default, flate2::Compression::new);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(input).map_err(failed)?;
            encoder.finish().map_err(failed)
        }
        Compression::Snappy => snappy_compress(input).map_err(failed),
        Compression::Lz4 => {
            let frame = lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Independent)
                .block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
            encoder.write_all(input).map_err(failed)?;
            encoder.finish().map_err(|error| failed(error.into()))
        }
        Compression::Zstd => {
            zstd::bulk::compress(input, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL))
                .map_err(failed)
        }
    }
}

/// Ranges of Kafka's `compression.<codec>.level` (`CompressionType.java`).
fn check_level(codec: Compression, level: Option<i32>) -> Result<(), CompressionError> {
    let Some(level) = level else { return Ok(()) };
    let valid = match codec {
        Compression::None | Compression::Snappy => false,
        Compression::Gzip => (1..=9).contains(&level),
        Compression::Lz4 => (1..=17).contains(&level),
        Compression::Zstd => (-131_072..=22).contains(&level),
    };
    if valid {
        Ok(())
    } else {
        Err(CompressionError::InvalidLevel { codec, level })
    }
}

fn snappy_compress(input: &[u8]) -> io::Result<Vec<u8>> {
    let mut output = XERIAL_MAGIC.to_vec();
    // Version and lowest compatible version.
    output.extend_from_slice(&1_i32.to_be_bytes());
    output.extend_from_slice(&1_i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(XERIAL_BLOCK) {
        let packed = encoder.compress_vec(block).map_err(io::Error::other)?;
        let length = i32::try_from(packed.len()).map_err(io::Error::other)?;
        output.extend_from_slice(&length.to_be_bytes());
        output.extend_from_slice(&packed);
    }
    Ok(output)
}
