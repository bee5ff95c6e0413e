//! How a file is compressed, told by its first octets: names end in `.gz` or not as people like.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::source::bounds::{Flow, Members, Packed, Unpacked};
use crate::zone::Limits;

/// How much is read at a time.
const CHUNK_OCTETS: usize = 256 << 10;
/// How many octets tell what a file is.
const HEAD_OCTETS: usize = 8;

/// How bzip2 begins; a name may begin so too.
const BZIP2: &[u8] = b"BZh";

/// What is no text, by its first octets, and how it becomes one.
const OTHER_FORMATS: [(&[u8], &str); 9] = [
    (
        BZIP2,
        "compressed by bzip2, which is not read; decompress it (bunzip2) or use gzip or zstd",
    ),
    (
        b"\xfd7zXZ\0",
        "compressed by xz, which is not read; decompress it (unxz) or use gzip or zstd",
    ),
    (
        b"\x04\x22\x4d\x18",
        "compressed by lz4, which is not read; decompress it (unlz4) or use gzip or zstd",
    ),
    (
        b"\x1f\x9d",
        "compressed by compress, which is not read; decompress it (uncompress) or use gzip or zstd",
    ),
    (
        b"PK\x03\x04",
        "a ZIP archive, which is not read; unpack it (unzip) or use gzip or zstd",
    ),
    (
        b"\xff\xfe",
        "UTF-16 text; write it as UTF-8 (iconv -f UTF-16 -t UTF-8)",
    ),
    (
        b"\xfe\xff",
        "UTF-16 text; write it as UTF-8 (iconv -f UTF-16 -t UTF-8)",
    ),
    (
        b"\0\0\0\x02\0\0\0",
        "in BIND's raw format; write it as text (named-compilezone -f raw -F text -o OUT ZONE FILE), or set masterfile-format text",
    ),
    (
        b"\0\0\0\x03",
        "in BIND's map format; write it as text (named-compilezone -f map -F text -o OUT ZONE FILE), or set masterfile-format text",
    ),
];

/// Opens a text that may be compressed by gzip or zstd.
///
/// A read of it fails with [`OverLimit`](crate::source::OverLimit) beyond `limits.gzip_members` and
/// `limits.ratio`.
///
/// # Errors
///
/// If it cannot be read; [`io::ErrorKind::InvalidData`] for what is no text, with a sentence that
/// names the format.
pub fn open_text<'a>(
    mut input: impl Read + 'a,
    limits: &Limits,
) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut head = Vec::with_capacity(HEAD_OCTETS);
    (&mut input)
        .take(HEAD_OCTETS as u64)
        .read_to_end(&mut head)?;
    let (gzip, zstd) = (is_gzip(&head), is_zstd(&head));
    refuse_other_formats(&head)?;
    // The first octets again in front: input may be a pipe, which cannot be read twice.
    let whole = Cursor::new(head).chain(input);
    if !gzip && !zstd {
        return Ok(Box::new(BufReader::with_capacity(CHUNK_OCTETS, whole)));
    }
    let flow = Arc::new(Flow::default());
    let packed = BufReader::with_capacity(CHUNK_OCTETS, Packed::new(whole, flow.clone()));
    let decoder: Box<dyn Read + 'a> = if gzip {
        Box::new(Members::new(packed, limits))
    } else {
        Box::new(zstd::stream::read::Decoder::with_buffer(packed)?)
    };
    let text = Unpacked::new(decoder, flow, limits);
    Ok(Box::new(BufReader::with_capacity(CHUNK_OCTETS, text)))
}

/// Refuses what is no text, by its first octets.
fn refuse_other_formats(head: &[u8]) -> io::Result<()> {
    match OTHER_FORMATS
        .iter()
        .find(|(first, _)| head.starts_with(first))
        .filter(|(first, _)| *first != BZIP2 || is_bzip2(head))
    {
        Some((_, what)) => {
            let what = format!("the file is {what}");
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
        None => Ok(()),
    }
}

/// Looks at the first octets of a file that is read from an offset, as a feed that is followed.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] for a file that is compressed, or no text; or if it cannot be read.
pub fn require_plain(file: &File) -> io::Result<()> {
    let mut head = [0; HEAD_OCTETS];
    // At an offset, so that the place where the feed goes on stays.
    let length = file.read_at(&mut head, 0)?;
    let head = &head[..length];
    let packed = [(is_gzip(head), "gzip"), (is_zstd(head), "zstd")];
    if let Some((_, name)) = packed.iter().find(|(is_it, _)| *is_it) {
        let what = format!(
            "the file is compressed by {name}, and a feed that is followed must be plain; bring it in with `fluxwatch import feed`, or let the source read a folder of whole files"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    refuse_other_formats(head)
}

/// Returns whether these octets begin a file of bzip2: the size of its blocks, then a block or the end.
fn is_bzip2(head: &[u8]) -> bool {
    let is_block = |magic: &[u8]| head.get(4..).is_some_and(|rest| rest.starts_with(magic));
    matches!(head.get(3), Some(b'1'..=b'9'))
        && (is_block(b"\x31\x41\x59\x26") || is_block(b"\x17\x72\x45\x38"))
}

/// Returns whether these octets begin a gzip member (RFC 1952 §2.3.1).
fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(b"\x1f\x8b")
}

/// Returns whether these octets begin a frame of zstd, or one that is passed over (RFC 8878 §3.1).
fn is_zstd(head: &[u8]) -> bool {
    let is_skippable = head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == *b"\x2a\x4d\x18";
    head.starts_with(b"\x28\xb5\x2f\xfd") || is_skippable
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Reads what was opened.
    fn read(octets: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        open_text(octets, &Limits::DEFAULT)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_text_is_the_same_plain_and_compressed() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"some text\n").expect("memory");
        let gzip = gzip.finish().expect("memory");
        let zstd = zstd::encode_all(&b"some text\n"[..], 1).expect("memory");
        for octets in [
            b"some text\n".to_vec(),
            gzip.clone(),
            [gzip.clone(), gzip].concat(),
            zstd,
        ] {
            assert!(read(&octets).expect("readable").starts_with("some text\n"));
        }
        for short in ["", "a", "a\n"] {
            assert_eq!(read(short.as_bytes()).expect("readable"), short);
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_name() {
        for (octets, name) in [
            (&b"BZh91AY&SY"[..], "bzip2"),
            (b"\xfd7zXZ\0\0\x04", "xz"),
            (b"PK\x03\x04....", "ZIP"),
            (b"\xff\xfe@\0 \0", "UTF-16"),
            (b"\0\0\0\x02\0\0\0\x01k\x0b", "BIND's raw format"),
        ] {
            let fault = read(octets).expect_err(name).to_string();
            assert!(fault.contains(name), "{fault}");
        }
        let text = "BZhou.example. 300 IN NS ns1.a.test.\n";
        assert_eq!(read(text.as_bytes()).expect("a zone file"), text);
    }
}
