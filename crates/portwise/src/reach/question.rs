//! From where: as typed, and as the kernel numbers it.

use std::{fmt, net::IpAddr, str::FromStr};

use portwise_model::{
    Vantage,
    linux::route::{self, Device, Flow, Network, Routed},
};

use crate::Trouble;

/// A source address, with the device that packets from it arrive by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// The address.
    pub ip: IpAddr,
    /// The name of the device; `None` if that is for routing to say.
    pub device: Option<String>,
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.device {
            Some(device) => write!(f, "{}%{device}", self.ip),
            None => write!(f, "{}", self.ip),
        }
    }
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        let (address, device) = match text.split_once('%') {
            Some((_, "")) => return Err("the device after `%` is empty".into()),
            Some((address, device)) => (address, Some(device.to_owned())),
            None => (text, None),
        };
        let address = address.trim_start_matches('[').trim_end_matches(']');
        match address.parse() {
            Ok(ip) => Ok(From { ip, device }),
            Err(_) => {
                Err(format!("`{address}` is no address; such as 198.51.100.7 or 198.51.100.7%eth0"))
            }
        }
    }
}

/// The vantage as the model knows it, and its device.
pub(super) fn vantage<'a>(
    network: &'a Network,
    from: &From,
    to: IpAddr,
) -> Result<(Vantage, &'a Device), Trouble> {
    if from.ip.is_ipv4() != to.is_ipv4() {
        return Err(Trouble::new(format!(
            "--from: {} cannot send to {to}: one is an IPv4 address, the other IPv6",
            from.ip
        )));
    }
    let device = match &from.device {
        Some(name) => named(network, name)?,
        None => arrives_by(network, from.ip)?,
    };
    Ok((Vantage { from: from.ip, device: device.index, owner: None }, device))
}

fn named<'a>(network: &'a Network, name: &str) -> Result<&'a Device, Trouble> {
    network.named(name).ok_or_else(|| {
        let names: Vec<&str> = network.devices.iter().map(|d| d.name.as_ref()).collect();
        Trouble::new(format!("--from: no interface `{name}`; there are: {}", names.join(", ")))
    })
}

/// The device that packets from an address arrive by if they take the way that answers take.
fn arrives_by(network: &Network, ip: IpAddr) -> Result<&Device, Trouble> {
    let lo = network.loopback();
    if ip.is_loopback() || network.has_address(ip) {
        return lo.ok_or_else(|| Trouble::new("this network has no loopback interface"));
    }
    let flow = Flow {
        dst: ip,
        src: None,
        iif: lo.map_or(1, |lo| lo.index),
        oif: 0,
        mark: 0,
        protocol: 0,
        ports: None,
        uid: Some(0),
    };
    let hop = match route::lookup(network, &flow) {
        Routed::By(route) => route::first_way(route, 0),
        _ => None,
    };
    hop.and_then(|hop| network.device(hop.device)).ok_or_else(|| {
        Trouble::new(format!(
            "--from: no route leads to {ip}, so say by which interface its packets come, such \
             as {ip}%eth0"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_a_device() {
        let from: From = "198.51.100.7%eth0".parse().unwrap();
        assert_eq!(
            (from.to_string().as_str(), from.device.as_deref()),
            ("198.51.100.7%eth0", Some("eth0"))
        );
        assert_eq!("[fe80::1]".parse::<From>().unwrap().ip, "fe80::1".parse::<IpAddr>().unwrap());
        for wrong in ["", "%eth0", "198.51.100.7%", "example.org", "1.2.3"] {
            assert!(wrong.parse::<From>().is_err(), "{wrong}");
        }
    }
}
