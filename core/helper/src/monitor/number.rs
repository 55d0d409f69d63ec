//! Decimal numbers, both ways.

/// The digits of a number, in the end of the buffer.
pub(crate) fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start = start.saturating_sub(1);
        if let Some(slot) = buffer.get_mut(start) {
            *slot = b'0' | (number % 10) as u8;
        }
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buffer.get(start..).unwrap_or(&[])
}

/// The number that the bytes begin with.
pub(crate) fn leading(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = bytes.get(..digits).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

/// The number after the first `key` in a text: `oom_kill 3`, `rbytes=17`.
/// The key is followed by one separator.
pub(crate) fn after(text: &[u8], key: &[u8]) -> Option<u64> {
    let mut rest = text;
    loop {
        if let Some(tail) = rest.strip_prefix(key)
            && let [b' ' | b'=', number @ ..] = tail
        {
            return leading(number);
        }
        // On to the next word.
        let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\n'))?;
        rest = rest.get(end.checked_add(1)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::{after, decimal, leading};
    use std::string::ToString;

    #[test]
    fn decimals_are_what_the_standard_library_writes() {
        for number in [0, 7, 10, 65_535, u64::MAX] {
            let mut buffer = [0; 20];
            assert_eq!(decimal(number, &mut buffer), number.to_string().as_bytes());
            assert_eq!(leading(number.to_string().as_bytes()), Some(number));
        }
        assert_eq!(leading(b"max\n"), None);
        assert_eq!(leading(b"99999999999999999999"), None);
    }

    #[test]
    fn keys_are_found_as_whole_words() {
        let events = b"low 0\noom 2\noom_kill 5\noom_group_kill 0\n";
        assert_eq!(after(events, b"oom"), Some(2));
        assert_eq!(after(events, b"oom_kill"), Some(5));
        assert_eq!(after(events, b"kill"), None);
        assert_eq!(after(b"8:0 rbytes=17 wbytes=4\n", b"wbytes"), Some(4));
    }
}
