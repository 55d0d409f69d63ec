//! Numbers with units in the document: bytes, seconds, file modes.
//!
//! Stage `spec`, host side. The functions are deserialisers of single fields;
//! whether zero makes sense is decided by the field, in `validate`.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use serde_json::Value;

use super::document::found;

/// Reads a size: `"268435456"`, `"256M"`, `"1.5GiB"`.
///
/// Units are powers of 1024: `K`, `M`, `G`, `T` in either case, alone or
/// followed by `B` or `iB`. A fraction is allowed where it is a whole number
/// of bytes. `None` for anything else, and for more than `i64::MAX` bytes,
/// which no kernel interface takes.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    // Longer than any size with a unit; keeps the arithmetic below in range.
    if text.len() > 32 || !text.is_ascii() {
        return None;
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    // `u128::from_str` would take a sign; the digits were checked above.
    let whole: u128 = whole.parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scaled = whole.checked_mul(scale)?.checked_add(fraction)?.checked_mul(1 << shift)?;
    let bytes = scaled.is_multiple_of(scale).then_some(scaled / scale)?;
    u64::try_from(bytes).ok().filter(|bytes| *bytes <= i64::MAX.unsigned_abs())
}

fn bytes_of(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => return parse_size(text),
        Value::Number(number) => number,
        _ => return None,
    };
    if let Some(bytes) = number.as_u64() {
        return (bytes <= i64::MAX.unsigned_abs()).then_some(bytes);
    }
    // A float such as 1e9 comes from languages with one type of number. Every
    // whole one below 2^53 is exact, and so is its decimal form.
    let float = number.as_f64()?;
    let exact = float.fract() == 0.0 && float.abs() < 2_f64.powi(53);
    exact.then(|| parse_size(&format!("{float:.0}")))?
}

/// Bytes, as a number or with a unit.
pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    bytes_of(&value).ok_or_else(|| {
        D::Error::custom(format!(
            "expected a size such as 268435456 or \"256M\", found {}",
            found(&value)
        ))
    })
}

/// As [`bytes`], or `null`.
pub(super) fn optional_bytes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        value => bytes(value).map(Some).map_err(D::Error::custom),
    }
}

/// A duration as seconds.
pub(super) mod seconds {
    use super::{Deserialize, Deserializer, Duration, Serializer, Value, found};
    use serde::de::Error as _;

    pub(in crate::spec) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(in crate::spec) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let duration = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.ok_or_else(|| {
            D::Error::custom(format!("expected seconds such as 1.5, found {}", found(&value)))
        })
    }
}

/// As [`seconds`], or `null`.
pub(super) mod optional_seconds {
    use super::{Deserialize, Deserializer, Duration, Serializer, Value, seconds};
    use serde::de::Error as _;

    pub(in crate::spec) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => seconds::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::spec) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(None),
            value => seconds::deserialize(value).map(Some).map_err(D::Error::custom),
        }
    }
}

/// A file mode or umask: a string of octal digits, a number, or `null`.
pub(super) mod octal {
    use super::{Deserialize, Deserializer, Serializer, Value, found};
    use serde::de::Error as _;

    pub(in crate::spec) fn serialize<S: Serializer>(
        mode: &Option<u32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match mode {
            Some(mode) => serializer.serialize_str(&format!("{mode:04o}")),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::spec) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u32>, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let mode = match &value {
            Value::Null => return Ok(None),
            Value::String(text) if text.bytes().all(|digit| digit.is_ascii_digit()) => {
                u32::from_str_radix(text, 8).ok()
            }
            Value::Number(number) => number.as_u64().and_then(|mode| u32::try_from(mode).ok()),
            _ => None,
        };
        mode.map(Some).ok_or_else(|| {
            D::Error::custom(format!(
                "expected octal digits in a string such as \"022\", or a number, found {}",
                found(&value)
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, parse_size};
    use serde_json::json;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, size) in [
            ("0", 0),
            ("512b", 512),
            ("1k", 1 << 10),
            ("256M", 256 << 20),
            ("256MB", 256 << 20),
            ("256mib", 256 << 20),
            ("1.5G", 3 << 29),
            ("2TiB", 2 << 40),
            ("9223372036854775807", i64::MAX.unsigned_abs()),
        ] {
            assert_eq!(parse_size(text), Some(size), "{text}");
        }
    }

    #[test]
    fn junk_signs_spaces_and_overflow_are_refused() {
        for text in [
            "",
            "M",
            ".",
            ".5G",
            "1.",
            "12Q",
            "256 M",
            " 1",
            "1 ",
            "-1",
            "+1",
            "0x10",
            "1e9",
            "0.1G",
            "1.5",
            "1..5G",
            "1i",
            "1Mi",
            "1MBB",
            "٣",
            "9223372036854775808",
            "18446744073709551616",
            "8388608T",
            "0.00000000000000000000000000001T",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_must_be_whole() {
        assert_eq!(bytes(json!(268_435_456)).unwrap(), 256 << 20);
        assert_eq!(bytes(json!(1e9)).unwrap(), 1_000_000_000);
        for value in [json!(1.5), json!(-1), json!(-1.0), json!(1e30), json!(true), json!(u64::MAX)]
        {
            let message = bytes(value).unwrap_err().to_string();
            assert!(message.starts_with("expected a size such as"), "{message}");
        }
    }
}
