//! The document as JSON: read in bounded memory, write without defaults.
//!
//! Stage `spec`, host side. Bytes → bounded tree → types, and back. Everything
//! that leaves is `InvalidInput` and starts with the path of the value.
//! Source: RFC 8259.

use std::cell::Cell;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::Value;
use serde_path_to_error::{Path, Segment, Track};

use super::tree::Tree;
use crate::{Error, ErrorKind, Result, Stage};

/// The longest document that is read.
const MAX_BYTES: usize = 8 << 20;

/// Reads a document into a tree without `x-` keys at its top.
pub(super) fn read(json: &[u8]) -> Result<Value> {
    if json.len() > MAX_BYTES {
        return Err(Error::invalid(
            Stage::Spec,
            format!("the document has {} bytes, expected at most {MAX_BYTES}", json.len()),
        ));
    }
    let mut track = Track::new();
    let mut parser = serde_json::Deserializer::from_slice(json);
    let values = Cell::new(0);
    let value = Tree::whole(&values)
        .deserialize(serde_path_to_error::Deserializer::new(&mut parser, &mut track))
        .map_err(
            |error| {
                if error.is_data() { at(&track.path(), &error) } else { not_json(&error) }
            },
        )?;
    parser.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// Turns a tree into a type; an error names the path.
pub(super) fn decode<T: DeserializeOwned + Serialize>(tree: &Value) -> Result<T> {
    let value =
        serde_path_to_error::deserialize(tree).map_err(|error| at(error.path(), error.inner()))?;
    let Some(path) = listed(tree, &tree_of(&value)?) else {
        return Ok(value);
    };
    let colon = if path.is_empty() { "" } else { ": " };
    let path = path.trim_start_matches('.');
    Err(Error::invalid(Stage::Spec, format!("{path}{colon}expected an object, found a list")))
}

/// The path of a list that was read as an object: serde takes the fields of a
/// struct in order as well, where a misplaced value would go unnoticed.
fn listed(given: &Value, read: &Value) -> Option<String> {
    match (given, read) {
        (Value::Array(_), Value::Object(_)) => Some(String::new()),
        (Value::Array(given), Value::Array(read)) => {
            given.iter().zip(read).enumerate().find_map(|(index, (given, read))| {
                Some(format!("[{index}]{}", listed(given, read)?))
            })
        }
        (Value::Object(given), Value::Object(read)) => given
            .iter()
            .find_map(|(key, given)| Some(format!(".{key}{}", listed(given, read.get(key)?)?))),
        _ => None,
    }
}

/// Writes `value` without what `default` says as well.
pub(super) fn write<T: Serialize>(value: &T, default: &T) -> Result<String> {
    let mut tree = tree_of(value)?;
    subtract(&mut tree, &tree_of(default)?);
    Ok(tree.to_string())
}

fn tree_of<T: Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| {
        let message = format!("cannot write the document as JSON: {error}");
        Error::new(Stage::Spec, ErrorKind::Internal, message).with_source(error)
    })
}

/// Removes every member that the default has with the same value.
fn subtract(tree: &mut Value, default: &Value) {
    let (Value::Object(members), Value::Object(defaults)) = (tree, default) else {
        return;
    };
    members.retain(|key, value| {
        let Some(default) = defaults.get(key) else {
            return true;
        };
        if value == default {
            return false;
        }
        subtract(value, default);
        true
    });
}

/// A value as it appears in a message, cut where it would fill the screen.
pub(super) fn found(value: &Value) -> String {
    const SHOWN: usize = 64;
    let text = match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn not_json(error: &serde_json::Error) -> Error {
    Error::invalid(Stage::Spec, format!("the document is not JSON: {error}"))
}

fn at(path: &Path, error: &serde_json::Error) -> Error {
    let known = path.iter().any(|segment| !matches!(segment, Segment::Unknown));
    let message = if known { format!("{path}: {error}") } else { error.to_string() };
    Error::invalid(Stage::Spec, message)
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, found, read};
    use crate::spec::tree::{MAX_DEPTH, MAX_VALUES};
    use crate::{ErrorKind, Stage};
    use serde_json::{Value, json};

    fn refusal(json: &str) -> String {
        let error = read(json.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::Spec));
        error.message().to_owned()
    }

    #[test]
    fn free_keys_are_dropped_at_the_top_only() {
        let tree = read(br#"{"x-note": {"a": 1}, "env": {"x-a": "b"}}"#).unwrap();
        assert_eq!(tree, json!({"env": {"x-a": "b"}}));
    }

    #[test]
    fn duplicate_key_is_refused_with_its_place() {
        assert_eq!(
            refusal(r#"{"env": {"A": "1", "A": "2"}}"#),
            "env: the key \"A\" appears twice at line 1 column 28"
        );
        assert!(refusal(r#"{"a": 1, "a": 1}"#).starts_with("the key \"a\" appears twice"));
        assert!(refusal(r#"{"x-a": [{"b": 1, "b": 1}]}"#).starts_with("x-a[0]: the key \"b\""));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "{} {}",
            "{\"a\": NaN}",
            "[1,]",
            "{\"a\": \"\\ud800\"}",
            "\u{feff}{}",
            "1e999",
        ] {
            let message = refusal(text);
            assert!(message.starts_with("the document is not JSON: "), "{text}: {message}");
        }
        assert!(read(b"{\"a\": \"\xff\"}").is_err());
    }

    #[test]
    fn size_depth_and_count_are_bounded() {
        let long = format!("{{\"a\": \"{}\"}}", "b".repeat(MAX_BYTES));
        assert!(refusal(&long).contains("expected at most 8388608"));

        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert!(refusal(&deep(MAX_DEPTH + 1)).contains("nested deeper than 32 levels"));
        assert!(refusal(&"[".repeat(1 << 20)).contains("nested deeper"));

        let many = format!("{{\"mounts\": [{}{{}}]}}", "{},".repeat(1_000_000));
        let message = refusal(&many);
        let expected = format!("the document has more than {MAX_VALUES} values");
        assert!(message.starts_with("mounts[") && message.contains(&expected), "{message}");
    }

    #[test]
    fn a_value_in_a_message_is_short() {
        assert_eq!(found(&json!("12Q")), "\"12Q\"");
        assert_eq!(found(&json!([1, 2])), "a list");
        assert_eq!(found(&Value::String("é".repeat(1000))).chars().count(), 65);
    }
}
