//! Signal names and numbers.
//!
//! Stage `spec`, host side. Source: signal(7); real-time signals count from
//! 34, as the C libraries reserve 32 and 33.

use std::str::FromStr;

use nix::sys::signal::Signal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::document::found;

const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The number of a signal given as `"SIGTERM"`, `"TERM"`, `"rtmin+3"` or
/// `"15"`; names in either case.
///
/// `None` for anything that is not a signal; the numbers are 1 to 64.
#[must_use]
pub fn signal_number(text: &str) -> Option<i32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=RTMAX).contains(number));
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(above) = name.strip_prefix("RTMIN") {
        return real_time(RTMIN, above, '+');
    }
    if let Some(below) = name.strip_prefix("RTMAX") {
        return real_time(RTMAX, below, '-');
    }
    match name {
        "CLD" => Some(libc::SIGCHLD),
        "IOT" => Some(libc::SIGABRT),
        "POLL" => Some(libc::SIGIO),
        _ => Signal::from_str(&format!("SIG{name}")).ok().map(|signal| signal as i32),
    }
}

fn real_time(base: i32, offset: &str, sign: char) -> Option<i32> {
    if offset.is_empty() {
        return Some(base);
    }
    let digits = offset.strip_prefix(sign)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let offset: i32 = digits.parse().ok().filter(|offset| *offset <= RTMAX - RTMIN)?;
    Some(if sign == '+' { base + offset } else { base - offset })
}

/// A signal as a string or a number, kept as text.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(name) => Ok(Some(name)),
        Value::Number(number) => Ok(Some(number.to_string())),
        other => Err(D::Error::custom(format!(
            "expected a signal such as \"SIGTERM\" or 15, found {}",
            found(&other)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::signal_number;

    #[test]
    fn names_and_numbers_are_found() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("15", 15),
            ("9", 9),
            ("SIGCLD", 17),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
            ("64", 64),
        ] {
            assert_eq!(signal_number(text), Some(number), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not_a_signal() {
        for text in [
            "",
            "0",
            "65",
            "-9",
            "+9",
            "SIG",
            "SIGSIGTERM",
            "TERM ",
            "RTMIN-1",
            "RTMIN+31",
            "RTMIN++1",
            "99999999999",
        ] {
            assert_eq!(signal_number(text), None, "{text}");
        }
    }
}
