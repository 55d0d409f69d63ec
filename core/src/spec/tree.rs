//! A JSON value built within bounds.
//!
//! Stage `spec`, host side. serde's own maps keep the last of two equal keys
//! and its lists grow without bound; here depth, number of values and
//! duplicate keys are settled before a type of ours sees the document. Errors
//! are those of the deserialiser.

use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::document::found;

/// Values (scalars, lists and objects together) in one document.
pub(super) const MAX_VALUES: usize = 256 << 10;
/// Lists and objects inside each other; a seccomp profile needs six.
pub(super) const MAX_DEPTH: usize = 32;

/// Builds one value of the tree.
#[derive(Clone, Copy)]
pub(super) struct Tree<'a> {
    depth: usize,
    values: &'a Cell<usize>,
}

impl<'a> Tree<'a> {
    /// The whole document; `values` counts from 0.
    pub(super) fn whole(values: &'a Cell<usize>) -> Tree<'a> {
        Tree { depth: 0, values }
    }

    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Tree { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > MAX_VALUES {
            return Err(D::Error::custom(format!(
                "the document has more than {MAX_VALUES} values"
            )));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number =
            Number::from_f64(value).ok_or_else(|| E::custom("expected a finite number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(below)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(below)?;
            if members.contains_key(&key) {
                let key = found(&Value::String(key));
                return Err(A::Error::custom(format!("the key {key} appears twice")));
            }
            members.insert(key, value);
        }
        if self.depth == 0 {
            members.retain(|key, _| !key.starts_with("x-"));
        }
        Ok(Value::Object(members))
    }
}
