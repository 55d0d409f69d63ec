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

use crate::error::Result;
use crate::image::bad;

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
