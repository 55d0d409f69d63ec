//! Image names: `busybox`, `ghcr.io/org/app:1.2`, `app@sha256:…`.
//!
//! Stage `image`, host process, pure. The grammar and the short forms are
//! Docker's, because people and documents use them: no domain means
//! `docker.io`, one component there means `library/`, no tag means `latest`.
//!
//! Errors: `image`, invalid input: the name, the part that is wrong, and what
//! it may consist of.
//! Sources: distribution/reference `reference.go`, `normalize.go`, `regexp.go`.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::Digest;

use crate::error::{Error, Result, Stage};
use crate::image::digest;

/// Bytes of a name without tag and digest (distribution/reference).
const NAME: usize = 255;
const TAG: usize = 128;

/// A full image name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses a name and completes its short form.
    ///
    /// # Errors
    /// Invalid input, with the part of the name that is wrong.
    pub fn parse(text: &str) -> Result<Reference> {
        let fail =
            |what: &str| Error::invalid(Stage::Image, format!("{text:?} is no image name: {what}"));
        if text.is_empty() {
            return Err(fail("it is empty"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest::parse("digest", digest).map_err(|e| fail(e.message()))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        // A colon before the last slash belongs to the port of the domain.
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last..].split_once(':') {
            Some((_, tag)) => (&rest[..rest.len() - tag.len() - 1], Some(tag)),
            None => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(tag).map_err(fail)?;
        }
        if name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(fail("64 hexadecimal digits are an image id"));
        }
        let (domain, path) = split_domain(name);
        check_domain(domain).map_err(fail)?;
        for component in path.split('/') {
            check_component(component).map_err(|what| fail(&what))?;
        }
        let path = match (domain, path.contains('/')) {
            ("docker.io", false) => format!("library/{path}"),
            _ => path.to_owned(),
        };
        if domain.len() + 1 + path.len() > NAME {
            return Err(fail("it has more than 255 bytes"));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Reference { domain: domain.to_owned(), path, tag, digest })
    }

    /// The registry, for example `docker.io` or `localhost:5000`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository in the registry, for example `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `None` only where there is a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest after `@`.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Domain and path: the name without tag and digest.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as people write it: with the tag, without `docker.io/` and
    /// `library/` where it means the same without them.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        let shortest = short.strip_prefix("library/").unwrap_or(short);
        // `docker.io/localhost/x` and `docker.io/library/a/b` do not.
        let same = |text: &&str| Reference::parse(text).is_ok_and(|read| read == *self);
        [shortest, short].into_iter().find(same).unwrap_or(&full).to_owned()
    }
}

/// The full form.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        Reference::parse(text)
    }
}

/// The first component is a domain when it looks like one: it has a dot or a
/// port, is `localhost`, or has letters that a path may not have.
fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, path))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (if first == "index.docker.io" { "docker.io" } else { first }, path)
        }
        _ => ("docker.io", name),
    }
}

fn check_domain(domain: &str) -> std::result::Result<(), &'static str> {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return Err("a port is a number");
    }
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let good =
            address.contains(':') && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        return if good { Ok(()) } else { Err("the registry is no IPv6 address") };
    }
    let good = host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    if good { Ok(()) } else { Err("the registry is no host name") }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn check_component(component: &str) -> std::result::Result<(), String> {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if component.is_empty() {
        return Err("a component is empty".to_owned());
    }
    if component.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(format!("{component:?} has upper-case letters"));
    }
    if !component.bytes().all(|b| alphanumeric(b) || matches!(b, b'.' | b'_' | b'-')) {
        return Err(format!("{component:?}: a-z, 0-9, '.', '_' and '-' are allowed"));
    }
    let separators = component.split(|c: char| c.is_ascii() && alphanumeric(c as u8));
    let edge = |b: Option<u8>| b.is_some_and(alphanumeric);
    let good = edge(component.bytes().next())
        && edge(component.bytes().next_back())
        && separators
            .into_iter()
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'));
    match good {
        true => Ok(()),
        false => Err(format!("{component:?} has separators at an end or in a row")),
    }
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
pub(crate) fn check_tag(tag: &str) -> std::result::Result<(), &'static str> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let good = tag.len() <= TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'));
    if good {
        return Ok(());
    }
    Err(
        "a tag has 1 to 128 characters of a-z, A-Z, 0-9, '_', '.', '-' and starts with none of the last two",
    )
}

#[cfg(test)]
mod tests {
    use super::Reference;
    use crate::error::{ErrorKind, Stage};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn short_forms_are_completed_as_docker_does() {
        let digest = format!("sha256:{HEX}");
        for (text, full, familiar) in [
            ("busybox", "docker.io/library/busybox:latest".to_owned(), "busybox:latest"),
            ("busybox:1.38", "docker.io/library/busybox:1.38".to_owned(), "busybox:1.38"),
            ("org/app", "docker.io/org/app:latest".to_owned(), "org/app:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest".to_owned(), "busybox:latest"),
            ("index.docker.io/org/app", "docker.io/org/app:latest".to_owned(), "org/app:latest"),
            ("ghcr.io/a/b/c:x", "ghcr.io/a/b/c:x".to_owned(), "ghcr.io/a/b/c:x"),
            ("localhost/app", "localhost/app:latest".to_owned(), "localhost/app:latest"),
            (
                "localhost:5000/app",
                "localhost:5000/app:latest".to_owned(),
                "localhost:5000/app:latest",
            ),
            ("[::1]:5000/app:v1", "[::1]:5000/app:v1".to_owned(), "[::1]:5000/app:v1"),
            ("Host/app", "Host/app:latest".to_owned(), "Host/app:latest"),
            ("a--b/c__d.e_f", "docker.io/a--b/c__d.e_f:latest".to_owned(), "a--b/c__d.e_f:latest"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), full, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
        }
        let reference = Reference::parse(&format!("app@{digest}")).unwrap();
        assert_eq!(reference.to_string(), format!("docker.io/library/app@{digest}"));
        assert_eq!(
            (reference.tag(), reference.digest().unwrap().to_string()),
            (None, digest.clone())
        );
        let reference = Reference::parse(&format!("app:1@{digest}")).unwrap();
        assert_eq!(reference.tag(), Some("1"));
        assert_eq!(reference.repository(), "docker.io/library/app");
    }

    #[test]
    fn short_form_that_would_mean_another_image_is_not_used() {
        let hex = format!("docker.io/library/{HEX}:latest");
        for (full, familiar) in [
            ("docker.io/library/library/z:1", "library/library/z:1"),
            ("docker.io/library/a/b:1", "library/a/b:1"),
            ("docker.io/localhost/a:1", "docker.io/localhost/a:1"),
            ("docker.io/a.b/c:1", "docker.io/a.b/c:1"),
            ("docker.io/library/a.b/c:1", "library/a.b/c:1"),
            (&hex, &format!("library/{HEX}:latest")),
        ] {
            let reference = Reference::parse(full).unwrap();
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(Reference::parse(familiar).unwrap(), reference);
        }
    }

    #[test]
    fn wrong_names_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it is empty"),
            ("App", "\"App\" has upper-case letters"),
            ("a/B", "\"B\" has upper-case letters"),
            ("a//b", "a component is empty"),
            ("/a", "a component is empty"),
            ("a/", "a component is empty"),
            ("-a", "\"-a\" has separators at an end or in a row"),
            ("a..b", "\"a..b\" has separators at an end or in a row"),
            ("a___b", "\"a___b\" has separators at an end or in a row"),
            ("a b", "\"a b\": a-z, 0-9, '.', '_' and '-' are allowed"),
            ("../../etc", "the registry is no host name"),
            ("a/../b", "\"..\" has separators at an end or in a row"),
            ("a:", "a tag has 1 to 128 characters"),
            ("a:.x", "a tag has 1 to 128 characters"),
            ("a:b:c", "a tag has 1 to 128 characters"),
            ("host:port/a", "a port is a number"),
            ("-x.io/a", "the registry is no host name"),
            ("[x]:1/a", "the registry is no IPv6 address"),
            ("a@", "digest \"\": missing ':' in digest"),
            ("a@sha256:12", "digest \"sha256:12\": Invalid digest length 2 expected 64"),
            (HEX, "64 hexadecimal digits are an image id"),
        ] {
            let error = Reference::parse(text).unwrap_err();
            assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::Image));
            let wanted = format!("image: {text:?} is no image name: {reason}");
            assert!(error.to_string().starts_with(&wanted), "{error} / {wanted}");
        }
        assert!(Reference::parse(&"a".repeat(256)).is_err());
        assert!(Reference::parse(&format!("a:{}", "t".repeat(129))).is_err());
        assert!(Reference::parse(&format!("a:{}", "t".repeat(128))).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in any::<String>()) {
            let _ = Reference::parse(&text);
        }

        #[test]
        fn full_form_means_itself(
            text in "([a-z0-9]{1,5}(\\.[a-z]{2})?(:[0-9]{1,4})?/)?[a-z0-9]{1,6}([._-][a-z0-9]{1,3})?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,9})?"
        ) {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
                prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
            }
        }
    }
}
