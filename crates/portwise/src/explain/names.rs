//! What clients make of a name that stands for several addresses.

use std::net::IpAddr;

use serde::Serialize;

use crate::endpoint::{Address, Endpoint};

/// A name and its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The name, as typed.
    pub name: String,
    /// Its addresses, in the order in which getaddrinfo(3) gives them.
    pub addresses: Vec<NamedAddress>,
    /// Whether `/etc/hosts` names it, which goes before any name server.
    pub in_hosts_file: bool,
}

/// One address of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NamedAddress {
    /// The address.
    pub ip: IpAddr,
    /// Whether a client on this host is served there.
    pub served: bool,
}

impl Named {
    /// The name of an endpoint, if it is one of several addresses, or one that a file of this
    /// machine gives an address.
    pub(crate) fn of(endpoint: &Endpoint, addresses: Vec<NamedAddress>) -> Option<Named> {
        let Address::Name(name) = &endpoint.address else { return None };
        let in_hosts_file = crate::resolve::is_in_hosts_file(name);
        let is_worth_it = addresses.len() > 1 || in_hosts_file && !addresses.is_empty();
        is_worth_it.then(|| Named { name: name.clone(), addresses, in_hosts_file })
    }

    /// What the order is, and which clients reach what; nothing of clients if nobody is served.
    pub fn lines(&self) -> Vec<String> {
        let ips: Vec<String> = self.addresses.iter().map(|a| a.ip.to_string()).collect();
        let by = match self.in_hosts_file {
            true => "/etc/hosts",
            false => "getaddrinfo",
        };
        let mut lines = vec![format!("{} stands for {} ({by})", self.name, ips.join(", then "))];
        if self.addresses.len() == 1 {
            return lines;
        }
        let Some(first) = self.addresses.first() else { return lines };
        let Some(served) = self.addresses.iter().find(|a| a.served) else { return lines };
        if self.addresses.iter().all(|a| a.served) {
            lines.push(format!("every client is served, most by {}", first.ip));
            return lines;
        }
        lines.push(format!(
            "served by {}: clients that try one after the other, as curl, browsers and Node since \
             20 do",
            served.ip
        ));
        let fate = |a: &NamedAddress| match a.served {
            true => format!("served by {}", a.ip),
            false => format!("not served, by {}", a.ip),
        };
        lines.push(format!(
            "{}: clients that try only the first, as Node 17 to 19 and many libraries do",
            fate(first)
        ));
        if let Some(four) = self.addresses.iter().find(|a| a.ip.is_ipv4())
            && four.ip != first.ip
        {
            lines
                .push(format!("{}: clients that try only IPv4, as Node up to 16 does", fate(four)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(served: [bool; 2]) -> Vec<String> {
        let ips: [IpAddr; 2] = ["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let address = |(ip, served)| NamedAddress { ip, served };
        let addresses = ips.into_iter().zip(served).map(address).collect();
        Named::of(&"localhost:3000".parse().unwrap(), addresses).unwrap().lines()
    }

    #[test]
    fn who_tries_what() {
        let lines = named([false, true]);
        assert!(lines[0].starts_with("localhost stands for ::1, then 127.0.0.1 ("));
        assert!(lines[1].starts_with("served by 127.0.0.1: clients that try one"), "{lines:?}");
        assert!(lines[2].starts_with("not served, by ::1: clients that try only the first"));
        assert!(lines[3].starts_with("served by 127.0.0.1: clients that try only IPv4"));
        let lines = named([true, false]);
        assert!(
            lines[2].starts_with("served by ::1") && lines[3].starts_with("not served, by 127")
        );
        assert_eq!(named([true, true]).len(), 2);
        assert_eq!(named([false, false]).len(), 1);
    }
}
