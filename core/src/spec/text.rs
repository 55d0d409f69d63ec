//! Strings of the kernel: arguments, values of variables, paths.
//!
//! Stage `spec`, host side. Linux passes bytes without a NUL, not Unicode. In
//! JSON a text is a string, or `{"base64": "…"}` where the bytes are not
//! UTF-8. Errors are those of the deserialiser, which names the path.

use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::document::found;

/// A string as the kernel takes it: any bytes but NUL.
///
/// In JSON a string, or `{"base64": "…"}` for bytes that are not UTF-8. A
/// text built in Rust may hold a NUL; `RunSpec::validate` refuses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(OsString);

impl Text {
    /// The bytes as an owned string of the system.
    #[must_use]
    pub fn into_os_string(self) -> OsString {
        self.0
    }

    pub(super) fn has_nul(&self) -> bool {
        self.0.as_bytes().contains(&0)
    }
}

impl Deref for Text {
    type Target = OsStr;

    fn deref(&self) -> &OsStr {
        &self.0
    }
}

impl AsRef<OsStr> for Text {
    fn as_ref(&self) -> &OsStr {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(text.into())
    }
}

impl From<&OsStr> for Text {
    fn from(text: &OsStr) -> Text {
        Text(text.to_owned())
    }
}

impl From<OsString> for Text {
    fn from(text: OsString) -> Text {
        Text(text)
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Text {
        Text(OsString::from_vec(bytes))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == *other
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => {
                let mut object = serializer.serialize_map(Some(1))?;
                object.serialize_entry("base64", &STANDARD.encode(self.0.as_bytes()))?;
                object.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let bytes = match &value {
            Value::String(text) => text.clone().into_bytes(),
            Value::Object(object) if object.len() == 1 && object.contains_key("base64") => {
                let encoded = object["base64"].as_str();
                match encoded.map(|encoded| STANDARD.decode(encoded)) {
                    Some(Ok(bytes)) => bytes,
                    _ => {
                        return Err(D::Error::custom(format!(
                            "expected padded standard base64, found {}",
                            found(&object["base64"])
                        )));
                    }
                }
            }
            other => {
                return Err(D::Error::custom(format!(
                    "expected a string or {{\"base64\": \"…\"}}, found {}",
                    found(other)
                )));
            }
        };
        if bytes.contains(&0) {
            return Err(D::Error::custom("contains a NUL byte, which the kernel cannot pass on"));
        }
        Ok(Text::from(bytes))
    }
}

/// A path with the JSON form of a [`Text`].
pub(super) mod path {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Text;

    pub(in crate::spec) fn serialize<S: Serializer>(
        path: &Path,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Text::from(path.as_os_str()).serialize(serializer)
    }

    pub(in crate::spec) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathBuf, D::Error> {
        Ok(Text::deserialize(deserializer)?.into_os_string().into())
    }
}

/// A path that may be absent, with the JSON form of a [`Text`].
pub(super) mod optional_path {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Text;

    pub(in crate::spec) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        path.as_deref().map(|path| Text::from(path.as_os_str())).serialize(serializer)
    }

    pub(in crate::spec) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Text>::deserialize(deserializer)?.map(|text| text.into_os_string().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn utf8_is_a_string_and_other_bytes_are_base64() {
        let plain = Text::from("naïve");
        assert_eq!(serde_json::to_string(&plain).unwrap(), "\"naïve\"");
        let raw = Text::from(vec![0xff, b'a']);
        assert_eq!(serde_json::to_string(&raw).unwrap(), "{\"base64\":\"/2E=\"}");
        assert_eq!(serde_json::from_str::<Text>("{\"base64\":\"/2E=\"}").unwrap(), raw);
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        for (json, message) in [
            ("3", "expected a string or {\"base64\": \"…\"}, found 3"),
            ("{\"base64\":\"/2E=\",\"x\":1}", "expected a string or {\"base64\": \"…\"}"),
            ("{\"base64\":\"/2\"}", "expected padded standard base64, found \"/2\""),
            ("{\"base64\":1}", "expected padded standard base64, found 1"),
            ("\"a\\u0000b\"", "contains a NUL byte"),
            ("{\"base64\":\"AA==\"}", "contains a NUL byte"),
        ] {
            let error = serde_json::from_str::<Text>(json).unwrap_err().to_string();
            assert!(error.starts_with(message), "{json}: {error}");
        }
    }
}
