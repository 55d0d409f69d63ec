//! What keeps the container in: capabilities, system calls, user namespace.
//!
//! Stage `spec`, host side; applied later at stages `launch` and `user`. The
//! seccomp profile is the one of the OCI runtime specification,
//! config-linux.md.

mod idmap;

use oci_spec::runtime::{Capability, LinuxSeccomp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

pub use self::idmap::IdMap;
use super::document::found;
use super::validate::{at_most, refuse};
use crate::Result;

/// What keeps the container in. The defaults are closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Changes of the default capability set.
    pub capabilities: Capabilities,
    /// The filter of system calls.
    pub seccomp: Seccomp,
    /// Whether set-user-id programs and file capabilities are without effect
    /// (`PR_SET_NO_NEW_PRIVS`). Default true.
    pub no_new_privileges: bool,
    /// The user namespace.
    pub user_namespace: UserNamespace,
    /// Landlock, a wall behind the mounts.
    pub landlock: Landlock,
}

/// Landlock as a wall behind the mounts: the program opens what lies below its
/// root and nothing else, however it comes to name it; below a read-only root
/// it writes where a writable mount is and nowhere else. (Standard streams can
/// be opened again as they were given.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Landlock {
    /// Where the kernel has it (Linux 5.19) and it takes nothing from the
    /// program: not with the capabilities SYS_ADMIN or SYS_PTRACE, because
    /// Landlock forbids mounts and tracing of what other rules bind, nor
    /// without no_new_privileges, nor with another seccomp profile than the
    /// default.
    #[default]
    Auto,
    /// None.
    Off,
    /// An error where it cannot be.
    Required,
}

impl Default for Security {
    fn default() -> Security {
        Security {
            capabilities: Capabilities::default(),
            seccomp: Seccomp::Default,
            no_new_privileges: true,
            user_namespace: UserNamespace::Auto,
            landlock: Landlock::Auto,
        }
    }
}

/// Changes of the default capability set, which is Docker's for root and
/// empty for every other user.
///
/// Names are those of capabilities(7), in either case, with or without
/// `CAP_`, or `ALL`. First `drop` is taken away, then `add` is put in; `ALL`
/// stands for every capability that the kernel knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Capabilities to have besides.
    pub add: Vec<String>,
    /// Capabilities to go without.
    pub drop: Vec<String>,
}

/// The filter of system calls. In JSON `"default"`, `"unconfined"` or a
/// profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// The profile that container engines ship, for the program's
    /// capabilities. Calls by another ABI of the machine kill the process.
    #[default]
    Default,
    /// No filter.
    Unconfined,
    /// A profile of the OCI runtime specification (`linux.seccomp`). A key
    /// outside that specification is refused, never ignored. It must allow
    /// execve; for `SCMP_ACT_NOTIFY` see
    /// [`crate::Container::take_seccomp_listener`].
    Profile(Box<LinuxSeccomp>),
}

/// The user namespace. In JSON `"auto"`, `"host"` or
/// `{"uid_maps": […], "gid_maps": […]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserNamespace {
    /// A namespace of its own when the caller is not root, else the host's.
    #[default]
    Auto,
    /// The host's. Needs root.
    Host,
    /// A namespace of its own with these maps.
    Map {
        /// User ids, 1 to 340 ranges.
        uid_maps: Vec<IdMap>,
        /// Group ids, 1 to 340 ranges.
        gid_maps: Vec<IdMap>,
    },
}

/// The capability behind a name of [`Capabilities`]; `None` when there is
/// none, which includes `ALL`.
pub(crate) fn capability(name: &str) -> Option<Capability> {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).parse().ok()
}

impl Capabilities {
    pub(super) fn validate(&self, at: &str) -> Result<()> {
        for (key, names) in [("add", &self.add), ("drop", &self.drop)] {
            let at = format!("{at}.{key}");
            at_most(&at, names.len(), 128)?;
            for (index, name) in names.iter().enumerate() {
                if !name.eq_ignore_ascii_case("ALL") && capability(name).is_none() {
                    let message =
                        format!("expected a capability such as \"NET_ADMIN\", found {name:?}");
                    return Err(refuse(format!("{at}[{index}]"), message)
                        .with_hint("capabilities(7) lists them"));
                }
            }
        }
        Ok(())
    }
}

impl Security {
    pub(super) fn validate(&self) -> Result<()> {
        self.capabilities.validate("security.capabilities")?;
        if let UserNamespace::Map { uid_maps, gid_maps } = &self.user_namespace {
            IdMap::validate("security.user_namespace.uid_maps", uid_maps)?;
            IdMap::validate("security.user_namespace.gid_maps", gid_maps)?;
        }
        Ok(())
    }
}

impl Serialize for Seccomp {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Seccomp::Default => serializer.serialize_str("default"),
            Seccomp::Unconfined => serializer.serialize_str("unconfined"),
            Seccomp::Profile(profile) => profile.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Seccomp {
    fn deserialize<D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Seccomp, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match &value {
            Value::String(word) if word == "default" => return Ok(Seccomp::Default),
            Value::String(word) if word == "unconfined" => return Ok(Seccomp::Unconfined),
            Value::Object(_) => {}
            other => {
                return Err(D::Error::custom(format!(
                    "expected \"default\", \"unconfined\" or a profile, found {}",
                    found(other)
                )));
            }
        }
        let profile: LinuxSeccomp =
            serde_path_to_error::deserialize(&value).map_err(D::Error::custom)?;
        // The specification's types ignore what they do not know. In a filter
        // that would loosen it: an engine's own format has `includes`.
        let kept = serde_json::to_value(&profile).map_err(D::Error::custom)?;
        if let Some(key) = lost(&value, &kept) {
            return Err(D::Error::custom(format!(
                "the key {key:?} is not part of an OCI seccomp profile"
            )));
        }
        Ok(Seccomp::Profile(Box::new(profile)))
    }
}

/// The first key with a value in `given` that is not in `kept`.
fn lost<'a>(given: &'a Value, kept: &Value) -> Option<&'a str> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => given
            .iter()
            .filter(|(_, value)| !value.is_null())
            .find_map(|(key, value)| match kept.get(key) {
                None => Some(key.as_str()),
                Some(kept) => lost(value, kept),
            }),
        (Value::Array(given), Value::Array(kept)) => {
            given.iter().zip(kept).find_map(|(given, kept)| lost(given, kept))
        }
        _ => None,
    }
}

impl Serialize for UserNamespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            UserNamespace::Auto => serializer.serialize_str("auto"),
            UserNamespace::Host => serializer.serialize_str("host"),
            UserNamespace::Map { uid_maps, gid_maps } => {
                json!({"uid_maps": uid_maps, "gid_maps": gid_maps}).serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for UserNamespace {
    fn deserialize<D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<UserNamespace, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Maps {
            uid_maps: Vec<IdMap>,
            gid_maps: Vec<IdMap>,
        }
        let value = Value::deserialize(deserializer)?;
        match &value {
            Value::String(word) if word == "auto" => Ok(UserNamespace::Auto),
            Value::String(word) if word == "host" => Ok(UserNamespace::Host),
            Value::Object(_) => {
                let maps: Maps =
                    serde_path_to_error::deserialize(&value).map_err(D::Error::custom)?;
                Ok(UserNamespace::Map { uid_maps: maps.uid_maps, gid_maps: maps.gid_maps })
            }
            other => Err(D::Error::custom(format!(
                "expected \"auto\", \"host\" or {{\"uid_maps\": […], \"gid_maps\": […]}}, found {}",
                found(other)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Seccomp, Security, UserNamespace, capability};
    use oci_spec::runtime::Capability;
    use serde_json::json;

    #[test]
    fn capability_names_are_forgiving_about_case_and_prefix_only() {
        for name in ["NET_ADMIN", "CAP_NET_ADMIN", "cap_net_admin"] {
            assert_eq!(capability(name), Some(Capability::NetAdmin), "{name}");
        }
        for name in ["", "CAP_", "CAP_CAP_NET_ADMIN", "NET ADMIN", "ALL", "NETADMIN"] {
            assert_eq!(capability(name), None, "{name}");
        }
        let mut security = Security::default();
        security.capabilities.drop = vec!["all".into(), "NOPE".into()];
        assert_eq!(
            security.validate().unwrap_err().to_string(),
            "spec: security.capabilities.drop[1]: expected a capability such as \"NET_ADMIN\", found \"NOPE\"; \
             capabilities(7) lists them"
        );
    }

    #[test]
    fn a_profile_with_a_foreign_key_is_refused() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": null,
            "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
        });
        let Seccomp::Profile(read) = serde_json::from_value(profile.clone()).unwrap() else {
            panic!("expected a profile");
        };
        assert_eq!(read.syscalls().as_ref().unwrap().len(), 1);

        let mut foreign = profile;
        foreign["syscalls"][0]["includes"] = json!({"caps": ["CAP_SYS_ADMIN"]});
        let error = serde_json::from_value::<Seccomp>(foreign).unwrap_err().to_string();
        assert_eq!(error, "the key \"includes\" is not part of an OCI seccomp profile");

        let error = serde_json::from_value::<Seccomp>(json!("none")).unwrap_err().to_string();
        assert_eq!(error, "expected \"default\", \"unconfined\" or a profile, found \"none\"");
    }

    #[test]
    fn user_namespace_errors_name_the_inner_path() {
        let maps = json!({"uid_maps": [{"container": 0, "host": 1, "count": 2}], "gid_maps": []});
        let error = serde_json::from_value::<UserNamespace>(maps).unwrap_err().to_string();
        assert!(error.starts_with("uid_maps[0].count: unknown field `count`"), "{error}");
    }
}
