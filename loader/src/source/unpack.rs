//! Unpacks plain, gzip and zstd, within bounds on what they may unpack to.

use std::fmt;
use std::io::{self, BufReader, Chain, Cursor, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::packing::{MAGIC_BYTES, Packing};
use super::tally::Tally;
use super::{STDIN, Sent, SourceError, file};

/// The most bytes that one feed may unpack to: 256 GiB.
pub const MAX_UNPACKED_BYTES: u64 = 256 << 30;
/// The most bytes that one byte of a packed feed may become. Sorted rows of one segment reach about 100.
pub const MAX_RATIO: u64 = 400;
/// Below this many unpacked bytes the ratio says nothing: 64 MiB.
pub const RATIO_FLOOR_BYTES: u64 = 64 << 20;
/// The largest window a zstd frame may ask for, as a power of two: 128 MiB, which is also what `zstd --long` makes.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Bytes asked of the file at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// How much a feed may unpack to.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Unpacked bytes.
    pub bytes: u64,
    /// Unpacked bytes for each byte as sent.
    pub ratio: u64,
    /// Unpacked bytes below which the ratio is not looked at.
    pub ratio_floor: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: MAX_UNPACKED_BYTES, ratio: MAX_RATIO, ratio_floor: RATIO_FLOOR_BYTES }
    }
}

type Head<'p> = Chain<Cursor<Vec<u8>>, Tally<'p>>;

enum Body<'p> {
    Plain(Head<'p>),
    Gzip(Box<MultiGzDecoder<BufReader<Head<'p>>>>),
    Zstd(ZstdDecoder<'static, BufReader<Head<'p>>>),
}

/// The unpacked bytes of one feed. Its [`Read`] fails with a [`SourceError`] inside the [`io::Error`]; take it out with
/// `SourceError::from`.
pub struct Input<'p> {
    body: Body<'p>,
    bounds: Bounds,
    unpacked: u64,
    total: Option<u64>,
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("packing", &self.packing())
            .field("unpacked", &self.unpacked)
            .finish_non_exhaustive()
    }
}

impl<'p> Input<'p> {
    /// Opens a file, or `stdin` when the path is `-`. `watch` is told the bytes read so far, as sent.
    ///
    /// # Errors
    /// When the file is missing, a folder, empty, unreadable or packed in a way that is not known here.
    pub fn file(path: &Path, stdin: impl Read + 'p, watch: impl FnMut(u64) + 'p) -> Result<Self, SourceError> {
        if path == Path::new(STDIN) {
            return Self::stream(stdin, watch, Bounds::default());
        }
        let (file, total) = file::open(path)?;
        Ok(Self { total, ..Self::stream(file, watch, Bounds::default())? })
    }

    /// Takes the bytes of any reader.
    ///
    /// # Errors
    /// When it is empty, unreadable or packed in a way that is not known here.
    pub fn stream(reader: impl Read + 'p, watch: impl FnMut(u64) + 'p, bounds: Bounds) -> Result<Self, SourceError> {
        let mut tally = Tally::new(Box::new(reader), Box::new(watch));
        let mut magic = Vec::with_capacity(MAGIC_BYTES);
        tally.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic).map_err(SourceError::opening)?;
        if magic.is_empty() {
            return Err(SourceError::Empty);
        }
        let packing = Packing::of(&magic)?;
        let head = Cursor::new(magic).chain(tally);
        let buffered = |head| BufReader::with_capacity(CHUNK_BYTES, head);
        let body = match packing {
            Packing::Plain => Body::Plain(head),
            Packing::Gzip => Body::Gzip(Box::new(MultiGzDecoder::new(buffered(head)))),
            Packing::Zstd => Body::Zstd(zstd_decoder(buffered(head)).map_err(SourceError::opening)?),
        };
        Ok(Self { body, bounds, unpacked: 0, total: None })
    }

    /// How it is packed.
    #[must_use]
    pub fn packing(&self) -> Packing {
        match self.body {
            Body::Plain(_) => Packing::Plain,
            Body::Gzip(_) => Packing::Gzip,
            Body::Zstd(_) => Packing::Zstd,
        }
    }

    /// Bytes of the whole file as sent, when that was known at the start.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Bytes unpacked so far.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// What was read of the file so far. Of the whole file, once a read has returned no bytes.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.tally().sent()
    }

    fn tally(&self) -> &Tally<'p> {
        match &self.body {
            Body::Plain(head) => head.get_ref().1,
            Body::Gzip(decoder) => decoder.get_ref().get_ref().get_ref().1,
            Body::Zstd(decoder) => decoder.get_ref().get_ref().get_ref().1,
        }
    }

    fn read_body(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.body {
            Body::Plain(head) => head.read(into),
            Body::Gzip(decoder) => decoder.read(into),
            Body::Zstd(decoder) => decoder.read(into),
        }
    }

    fn explain(&self, source: io::Error) -> SourceError {
        let (packing, at) = (self.packing(), self.tally().bytes());
        match (packing, source.kind()) {
            (Packing::Plain, _) => SourceError::Read { at, source },
            (_, ErrorKind::UnexpectedEof) => SourceError::Cut { packing, at },
            // The system's own errors have a number; the unpackers' have none.
            _ if source.raw_os_error().is_some() => SourceError::Read { at, source },
            _ => SourceError::Damaged { packing, at, detail: source.to_string() },
        }
    }

    fn check_bounds(&self) -> Result<(), SourceError> {
        let Bounds { bytes, ratio, ratio_floor } = self.bounds;
        if self.unpacked > bytes {
            return Err(SourceError::TooLarge(bytes));
        }
        let sent = self.tally().bytes();
        if self.unpacked > ratio_floor && self.unpacked > sent.saturating_mul(ratio) {
            return Err(SourceError::Bomb { sent, unpacked: self.unpacked, ratio });
        }
        Ok(())
    }
}

impl Read for Input<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.read_body(into) {
                Ok(read) => {
                    self.unpacked += read as u64;
                    self.check_bounds()?;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.explain(error).into()),
            }
        }
    }
}

fn zstd_decoder<'p>(from: BufReader<Head<'p>>) -> io::Result<ZstdDecoder<'static, BufReader<Head<'p>>>> {
    let mut decoder = ZstdDecoder::with_buffer(from)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn read(packed: &[u8], bounds: Bounds) -> Result<(Vec<u8>, Sent), SourceError> {
        let mut input = Input::stream(packed, |_| {}, bounds)?;
        let mut text = Vec::new();
        input.read_to_end(&mut text)?;
        Ok((text, input.sent()))
    }

    #[test]
    fn every_packing_gives_the_same_bytes_and_the_digest_of_what_was_sent() {
        let two_members = [gzip(b"a\tb\n"), gzip(b"c\td\n")].concat();
        let two_frames = [b"a\tb\n", b"c\td\n"].map(|half| zstd::encode_all(&half[..], 1).expect("memory")).concat();
        for packed in [b"a\tb\nc\td\n".to_vec(), two_members, two_frames] {
            let (text, sent) = read(&packed, Bounds::default()).expect("whole");
            assert_eq!(text, b"a\tb\nc\td\n");
            let digest = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&packed));
            assert_eq!(sent, Sent { bytes: packed.len() as u64, digest });
        }
    }

    #[test]
    fn a_cut_stream_fails() {
        let rows: Vec<u8> =
            (0..20_000).flat_map(|n: u32| format!("{}\tx\n", n.wrapping_mul(2_654_435_761)).into_bytes()).collect();
        for packed in [gzip(&rows), zstd::encode_all(&rows[..], 1).expect("memory")] {
            for left in [7, packed.len() / 2, packed.len() - 1] {
                let error = read(&packed[..left], Bounds::default()).expect_err("cut");
                assert!(matches!(error, SourceError::Cut { .. }), "{left}: {error}");
            }
        }
    }

    #[test]
    fn a_damaged_stream_fails() {
        let mut packed = gzip(&b"a\tb\n".repeat(1_000));
        let crc = packed.len() - 6;
        packed[crc] ^= 1;
        let error = read(&packed, Bounds::default()).expect_err("damaged");
        assert!(matches!(error, SourceError::Damaged { packing: Packing::Gzip, .. }), "{error}");
    }

    #[test]
    fn one_byte_beyond_a_bound_is_an_error_and_not_a_shorter_feed() {
        let packed = gzip(&[b'a'; 10_000]);
        let bytes = |bytes| Bounds { bytes, ..Bounds::default() };
        assert_eq!(read(&packed, bytes(10_000)).expect("at the bound").0.len(), 10_000);
        assert!(matches!(read(&packed, bytes(9_999)), Err(SourceError::TooLarge(9_999))));
        let ratio = Bounds { ratio: 10, ratio_floor: 5_000, ..Bounds::default() };
        assert!(matches!(read(&packed, ratio), Err(SourceError::Bomb { ratio: 10, .. })));
        assert!(read(&packed, Bounds { ratio_floor: 10_000, ..ratio }).is_ok());
    }

    #[test]
    fn other_packings_are_named() {
        assert!(matches!(read(b"PK\x03\x04rest", Bounds::default()), Err(SourceError::Foreign("zip"))));
        assert!(matches!(read(b"", Bounds::default()), Err(SourceError::Empty)));
    }
}
