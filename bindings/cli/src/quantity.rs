//! Sizes, durations and times: as the user writes them, as we show them.

use std::time::{Duration, SystemTime};

use libctr::spec::parse_size;

/// Reads a size such as `256M`, in powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "expected a size such as 256M".to_owned())
}

/// Reads a duration: seconds, or with units as in `1h30m` or `1.5s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected seconds, or a duration such as 90s, 1h30m or 500ms".to_owned();
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.strip_suffix('s').unwrap_or(text);
    if !seconds.is_empty() && plain(seconds) {
        let seconds = seconds.parse().map_err(|_| wrong())?;
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    humantime::parse_duration(text).map_err(|_| wrong())
}

/// Reads a moment: RFC 3339, seconds since 1970, or how long ago it was.
pub(crate) fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Ok(time);
    }
    // Ten digits are no duration that anybody means.
    let seconds = text.split('.').next().unwrap_or_default();
    let since = duration(text).map_err(|_| {
        "expected a time such as 2026-01-31T12:00:00Z, or how long ago, such as 10m".to_owned()
    })?;
    let time = if seconds.len() >= 10 && !text.ends_with(char::is_alphabetic) {
        SystemTime::UNIX_EPOCH.checked_add(since)
    } else {
        SystemTime::now().checked_sub(since)
    };
    time.ok_or_else(|| "the time is out of range".to_owned())
}

/// A time since 1970 as RFC 3339 with nanoseconds.
pub(crate) fn timestamp(ns: u64) -> String {
    // 64 bits of nanoseconds end in the year 2554.
    humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + Duration::from_nanos(ns)).to_string()
}

/// Bytes with a unit: `512B`, `1.5KiB`, `16MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let place = usize::try_from(bytes.max(1).ilog2() / 10).unwrap_or(0);
    // In tenths of the unit, rounded; whole numbers all the way.
    let tenths = (u128::from(bytes) * 10 + (1 << (10 * place)) / 2) >> (10 * place);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole}{}", units[place]),
        (whole, part) => format!("{whole}.{part}{}", units[place]),
    }
}

/// How long something has lasted, in the words of `docker ps`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let several = |n: u64, unit: &str| format!("{n} {unit}");
    match (seconds, seconds / 60, (seconds + 1800) / 3600, seconds / 86_400) {
        (0, ..) => "Less than a second".into(),
        (1, ..) => "1 second".into(),
        (n @ ..60, ..) => several(n, "seconds"),
        (_, 1, ..) => "About a minute".into(),
        (_, n @ ..60, ..) => several(n, "minutes"),
        (_, _, 1, _) => "About an hour".into(),
        (_, _, n @ ..48, _) => several(n, "hours"),
        (_, _, _, n @ ..14) => several(n, "days"),
        (_, _, _, n @ ..61) => several(n / 7, "weeks"),
        (_, _, _, n @ ..730) => several(n / 30, "months"),
        (_, _, _, n) => several(n / 365, "years"),
    }
}

/// How long ago a time since 1970 was.
pub(crate) fn ago(ns: u64) -> String {
    format!("{} ago", span(since(ns)))
}

/// The time that has passed since a time since 1970.
pub(crate) fn since(ns: u64) -> Duration {
    let then = SystemTime::UNIX_EPOCH + Duration::from_nanos(ns);
    SystemTime::now().duration_since(then).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, moment, size, span, timestamp};
    use std::time::{Duration, SystemTime};

    #[test]
    fn durations_are_seconds_or_have_units() {
        for (text, ms) in [
            ("10", 10_000),
            ("1.5", 1500),
            ("0.25s", 250),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("2days", 172_800_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1", "1x", "1.2.3", "1e99", "inf", " 1"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_dates_seconds_or_ages() {
        let at = |seconds| Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(moment("2026-01-31T12:00:00Z"), at(1_769_860_800));
        assert_eq!(moment("1769860800"), at(1_769_860_800));
        let age = moment("10m").unwrap().elapsed().unwrap().as_secs();
        assert!((600..610).contains(&age), "{age}");
        assert!(moment("yesterday").is_err());
        assert!(moment("9999999999999999999").is_err());
    }

    #[test]
    fn sizes_are_read_and_shown_in_powers_of_1024() {
        assert_eq!(size("256m"), Ok(256 << 20));
        assert!(size("-1").is_err());
        for (number, text) in
            [(0, "0B"), (1023, "1023B"), (1536, "1.5KiB"), (16 << 20, "16MiB"), (u64::MAX, "16EiB")]
        {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn spans_have_the_words_of_docker() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (49 * 3600, "2 days"),
            (15 * 86_400, "2 weeks"),
            (90 * 86_400, "3 months"),
            (800 * 86_400, "2 years"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn timestamps_have_nanoseconds() {
        assert_eq!(timestamp(1_769_860_800_000_000_007), "2026-01-31T12:00:00.000000007Z");
    }
}
