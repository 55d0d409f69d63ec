//! The written form of a user: `name|uid[:group|gid]`.
//!
//! Stage `user`, host side, pure. Decimal digits are a number and never a
//! name. Forms that Docker reads leniently (`1:`, `:2`, `+1`) are refused or
//! are names, so that nobody runs as a user that was not meant
//! (CVE-2026-30892). Errors: `InvalidInput`.

use super::passwd;
use crate::{Error, Result, Stage};

/// One half of a user: a number or a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who<'a> {
    Id(u32),
    Name(&'a str),
}

/// Splits `name|uid[:group|gid]`; empty is user 0.
pub(super) fn parse(text: &str) -> Result<(Who<'_>, Option<Who<'_>>)> {
    if text.is_empty() {
        return Ok((Who::Id(0), None));
    }
    Ok(match text.split_once(':') {
        Some((user, group)) => (who(user, text)?, Some(who(group, text)?)),
        None => (who(text, text)?, None),
    })
}

/// Reads one half; `whole` is what errors show.
pub(super) fn who<'a>(part: &'a str, whole: &str) -> Result<Who<'a>> {
    if let Some(id) = passwd::id(part.as_bytes()) {
        return Ok(Who::Id(id));
    }
    if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::invalid(
            Stage::User,
            format!("{whole:?}: the id {part} is out of range, expected 0 to 4294967294"),
        ));
    }
    // None of these can be part of an entry's name.
    if part.is_empty() || part.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control()) {
        let message = format!("{whole:?} is not a user or group, expected a name or an id");
        return Err(Error::invalid(Stage::User, message)
            .with_hint("a user with a group is written user:group"));
    }
    Ok(Who::Name(part))
}

#[cfg(test)]
mod tests {
    use super::{Who, parse};
    use crate::{ErrorKind, Stage};

    #[test]
    fn numbers_and_names_are_told_apart() {
        let (id, name) = (Who::Id, Who::Name);
        for (text, expected) in [
            ("", (id(0), None)),
            ("0", (id(0), None)),
            ("007", (id(7), None)),
            ("1:2", (id(1), Some(id(2)))),
            ("app:2", (name("app"), Some(id(2)))),
            ("1:users", (id(1), Some(name("users")))),
            ("4294967294", (id(u32::MAX - 1), None)),
            ("0x1", (name("0x1"), None)),
            ("+1", (name("+1"), None)),
            ("-1", (name("-1"), None)),
            ("domain\\user$", (name("domain\\user$"), None)),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn lenient_forms_are_refused() {
        for text in [
            "1:",
            ":2",
            ":",
            "1:2:3",
            " 1",
            "1 ",
            "a b",
            "app: wheel",
            "4294967295",
            "4294967296",
            "1:4294967295",
            "99999999999999999999",
            "a\nb",
            "a\0b",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(
                (error.kind(), error.stage()),
                (ErrorKind::InvalidInput, Stage::User),
                "{text:?}"
            );
        }
        assert_eq!(
            parse("4294967296").unwrap_err().to_string(),
            "user: \"4294967296\": the id 4294967296 is out of range, expected 0 to 4294967294"
        );
        assert_eq!(
            parse("1:").unwrap_err().to_string(),
            "user: \"1:\" is not a user or group, expected a name or an id; a user with a group is written user:group"
        );
    }
}
