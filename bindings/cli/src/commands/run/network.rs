//! Options of `run` about names and the network.

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use libctr::spec::{Network, RunSpec};

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(super) struct Networking {
    /// Which network the program sees [default: none]
    #[arg(long, visible_alias = "net", value_enum)]
    network: Option<Kind>,
    /// Host name inside [default: the short id]
    #[arg(short = 'h', long)]
    hostname: Option<String>,
    /// Name server
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,
    /// Another host, NAME:ADDRESS
    #[arg(long = "add-host", value_name = "NAME:ADDRESS", value_parser = host)]
    hosts: Vec<(String, IpAddr)>,
}

/// The networks, as the library names them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Its own, with nothing but a loopback interface
    None,
    /// The host's
    Host,
    /// A private address behind the host's
    Nat,
}

fn host(text: &str) -> Result<(String, IpAddr), String> {
    // An address of version 6 has colons of its own.
    let parts = text.split_once('=').or_else(|| text.split_once(':'));
    let read = |(name, address): (&str, &str)| {
        let address =
            address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        Some((name.to_owned(), address.parse().ok()?))
    };
    parts.and_then(read).ok_or_else(|| "expected NAME:ADDRESS such as db:10.0.0.7".to_owned())
}

impl Networking {
    pub(super) fn apply(&self, spec: &mut RunSpec) -> libctr::Result<()> {
        spec.network = match self.network {
            None => spec.network,
            Some(Kind::None) => Network::None,
            Some(Kind::Host) => Network::Host,
            Some(Kind::Nat) => Network::Nat,
        };
        spec.hostname = self.hostname.clone().or(spec.hostname.take());
        spec.dns.extend(&self.dns);
        spec.hosts.extend(self.hosts.iter().cloned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn hosts_have_a_name_and_an_address() {
        assert_eq!(host("db:10.0.0.7"), Ok(("db".into(), [10, 0, 0, 7].into())));
        assert_eq!(host("db=::1").map(|(_, address)| address.to_string()), Ok("::1".into()));
        assert_eq!(host("db:[::1]").map(|(_, address)| address.to_string()), Ok("::1".into()));
        for text in ["db", "db:", "db:host", ""] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
