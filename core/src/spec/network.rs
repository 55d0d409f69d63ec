//! The network of a container.
//!
//! Stage `spec`, host side; set up later at stage `network`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which network the container sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A network of its own with nothing but a loopback interface.
    #[default]
    None,
    /// The host's own network: every address and port of the host.
    Host,
    /// A private address behind the host's address.
    Nat,
}

/// A port of the container that the host offers.
///
/// In JSON a string of Docker's form, `[address:][host port:]port[/tcp|/udp]`,
/// for example `"8080:80"` or `"127.0.0.1::53/udp"` or `"[::1]:8080:80"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Address of the host to listen on. `None`: all.
    pub host_ip: Option<IpAddr>,
    /// Port of the host, 1 to 65535. `None`: one that is free.
    pub host_port: Option<u16>,
    /// Port inside, 1 to 65535.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// The protocol of a published port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `tcp`, the default.
    #[default]
    Tcp,
    /// `udp`.
    Udp,
}

impl FromStr for Port {
    type Err = String;

    /// Reads Docker's form of one port; ranges are not read.
    fn from_str(text: &str) -> Result<Port, String> {
        parse(text).ok_or_else(|| {
            format!(
                "expected [address:][host port:]port[/tcp|/udp] such as \"8080:80\", found {text:?}"
            )
        })
    }
}

fn parse(text: &str) -> Option<Port> {
    let (ports, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.split('/').next()?, Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some(_) => return None,
    };
    let (outside, port) = match ports.rsplit_once(':') {
        Some((outside, port)) => (Some(outside), port),
        None => (None, ports),
    };
    let (host_ip, host_port) = match outside {
        None => (None, None),
        Some(outside) => match outside.rsplit_once(':') {
            None => (None, Some(number(outside)?)),
            Some((address, "")) => (Some(ip(address)?), None),
            Some((address, host_port)) => (Some(ip(address)?), Some(number(host_port)?)),
        },
    };
    Some(Port { host_ip, host_port, port: number(port)?, protocol })
}

fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// An IPv6 address needs its brackets, as its colons are otherwise ports.
fn ip(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.host_ip, self.host_port) {
            (Some(ip), Some(port)) => write!(f, "{}:", SocketAddr::new(ip, port))?,
            (Some(IpAddr::V4(ip)), None) => write!(f, "{ip}::")?,
            (Some(IpAddr::V6(ip)), None) => write!(f, "[{ip}]::")?,
            (None, Some(port)) => write!(f, "{port}:")?,
            (None, None) => {}
        }
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{}/{protocol}", self.port)
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Port, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Port, Protocol};

    #[test]
    fn every_form_is_read_and_written_again() {
        for (text, written) in [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("53:53/udp", "53:53/udp"),
            ("127.0.0.1:8080:80/tcp", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("[::1]:8080:80", "[::1]:8080:80/tcp"),
            ("[::1]::80", "[::1]::80/tcp"),
        ] {
            let port: Port = text.parse().unwrap();
            assert_eq!(port.to_string(), written);
            assert_eq!(written.parse(), Ok(port));
        }
        let port: Port = "8080:80/udp".parse().unwrap();
        assert_eq!((port.host_port, port.port, port.protocol), (Some(8080), 80, Protocol::Udp));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ":",
            "0",
            "65536",
            "+80",
            "80/",
            "80/sctp",
            "80/tcp/udp",
            "a:80",
            ":80",
            "::1:80:80",
            "1.2.3:80:80",
            "8000-8010:80",
            "80 ",
            "[::1]80:80",
            "[127.0.0.1]:80:80",
            "localhost:80:80",
        ] {
            let error = text.parse::<Port>().unwrap_err();
            assert!(error.starts_with("expected [address:]"), "{text}: {error}");
        }
    }
}
