//! Numbers in header fields.
//!
//! Stage `image`, host process. Octal digits, perhaps between spaces, up to a
//! NUL; or binary after a byte 0x80 (0xff: negative), as GNU tar writes what
//! octal cannot hold. Programs are lax in different ways (signs, a NUL in
//! front, digits after a space, bits that are cut off), so that one archive
//! would have different entries: all that is refused.
//!
//! Errors: `image`, invalid input.
//! Sources: POSIX pax "ustar Interchange Format"; GNU tar `from_header`,
//! Python `tarfile.nti`.

use tar::Header;

use crate::error::Result;
use crate::image::bad;

/// Refuses a header with a field that is no number, even one that nothing
/// needs: some programs take that for the end of the archive.
pub(super) fn check(header: &Header) -> Result<()> {
    let old = header.as_old();
    for (what, field) in [("mode", &old.mode), ("uid", &old.uid), ("gid", &old.gid)] {
        number(what, field)?;
    }
    number("mtime", &old.mtime)?;
    let devices = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => [&ustar.dev_major, &ustar.dev_minor],
        (_, Some(gnu)) => [&gnu.dev_major, &gnu.dev_minor],
        _ => return Ok(()),
    };
    devices.into_iter().try_for_each(|field| number("device number", field).map(drop))
}

/// The size of an entry's data. Spaces alone are an error for GNU tar and 0
/// for others.
pub(super) fn size(field: &[u8]) -> Result<u64> {
    if field.starts_with(b" ") && !field.iter().any(u8::is_ascii_digit) {
        return Err(bad("tar: the size of an entry is no number"));
    }
    unsigned("size", field)
}

/// A number that is not negative.
pub(super) fn unsigned(what: &str, field: &[u8]) -> Result<u64> {
    u64::try_from(number(what, field)?)
        .map_err(|_| bad(format!("tar: the {what} of an entry is negative")))
}

/// Any number; a field of spaces or NULs is 0.
pub(super) fn number(what: &str, field: &[u8]) -> Result<i64> {
    match field {
        [0x80 | 0xff, ..] => binary(field)
            .ok_or_else(|| bad(format!("tar: the {what} of an entry does not fit 64 bits"))),
        _ => octal(field).ok_or_else(|| bad(format!("tar: the {what} of an entry is no number"))),
    }
}

/// Two's complement, the first byte being only a sign.
fn binary(field: &[u8]) -> Option<i64> {
    let (sign, bytes) = field.split_first()?;
    let start = if *sign == 0xff { -1 } else { 0 };
    bytes
        .iter()
        .try_fold(start, |number: i64, byte| number.checked_mul(256)?.checked_add(i64::from(*byte)))
}

fn octal(field: &[u8]) -> Option<i64> {
    let mut parts = field.splitn(2, |byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    if text.is_empty() {
        let rest = parts.next().unwrap_or_default();
        return rest.iter().all(|byte| matches!(byte, 0 | b' ')).then_some(0);
    }
    let start = text.iter().take_while(|byte| **byte == b' ').count();
    let digits = text[start..].iter().take_while(|byte| matches!(byte, b'0'..=b'7'));
    let (mut number, mut end) = (0_i64, start);
    for digit in digits {
        number = number.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
        end += 1;
    }
    text[end..].iter().all(|byte| *byte == b' ').then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{number, unsigned};

    #[test]
    fn octal_and_binary_numbers_are_read() {
        for (field, wanted) in [
            (&b"0000644\0"[..], 0o644),
            (b"    644 ", 0o644),
            (b"644 \0xyz", 0o644),
            (b"77777777", 0o77_777_777),
            (b"        ", 0),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"\x80\0\0\0\0\0\x01\x02", 0x102),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", i64::MIN),
        ] {
            assert_eq!(number("size", field).unwrap(), wanted, "{field:?}");
        }
    }

    #[test]
    fn numbers_that_programs_read_differently_are_refused() {
        for field in [
            &b"+0000010"[..],
            b"-0000010",
            b"0o000010",
            b"1_000010",
            b"12 34567",
            b"\t0000010",
            b"00000008",
            b"\x000000010",
            b"\x81\0\0\0\0\0\0\x01",
            b"\xfe\0\0\0\0\0\0\x01",
            b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
            b"\xff\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            let error = number("size", field).unwrap_err().to_string();
            assert!(error.starts_with("image: tar: the size of an entry "), "{field:?}: {error}");
        }
        let error = unsigned("size", b"\xff\xff\xff\xff\xff\xff\xff\xfe").unwrap_err();
        assert_eq!(error.to_string(), "image: tar: the size of an entry is negative");
    }
}
