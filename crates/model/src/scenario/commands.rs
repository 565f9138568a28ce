//! The shell commands of scenarios that the model understands.

use alloc::{format, vec::Vec};
use core::net::IpAddr;

use super::{
    Unsupported,
    path::{Leads, Net},
    world::World,
};
use crate::Host;

impl World {
    /// Does what a command line does to the namespace, or says that it is not understood.
    pub(super) fn command(&mut self, host: &mut Host, line: &str) -> Result<(), Unsupported> {
        for command in line.split([';', '\n']).flat_map(|part| part.split("&&")) {
            let words: Vec<&str> = command.split_whitespace().collect();
            if !words.is_empty() {
                self.one_command(host, &words)
                    .ok_or_else(|| Unsupported(format!("command `{}`", command.trim())))??;
            }
        }
        Ok(())
    }

    fn one_command(&mut self, host: &mut Host, words: &[&str]) -> Option<Result<(), Unsupported>> {
        let done = match words {
            ["ip", rest @ ..] => {
                let rest: Vec<&str> =
                    rest.iter().copied().filter(|w| !matches!(*w, "-4" | "-6")).collect();
                match rest.as_slice() {
                    ["link", "set", "dev", name, state @ ("up" | "down")]
                    | ["link", "set", name, state @ ("up" | "down")] => {
                        self.set_up(host, name, *state == "up")
                    }
                    ["link", "add", name, "type", "veth", "peer", "name", peer] => {
                        self.add_veth(host, name, peer);
                        Ok(())
                    }
                    ["link", "del" | "delete", "dev", name] | ["link", "del" | "delete", name] => {
                        self.remove_link(host, name)
                    }
                    ["addr" | "address", "add", addr, "dev", name, flags @ ..] => {
                        let (ip, prefix) = prefixed(addr)?;
                        let known = |w: &&str| matches!(*w, "nodad" | "brd" | "broadcast" | "+");
                        if !flags.iter().all(known) {
                            return None;
                        }
                        self.add_address(host, name, ip, prefix, flags.contains(&"nodad"))
                    }
                    ["addr" | "address", "del" | "delete", addr, "dev", name] => {
                        self.remove_address(host, name, prefixed(addr)?.0)
                    }
                    ["route", "add", "local", dst, "dev", name] => match prefixed(dst)? {
                        (IpAddr::V4(ip), prefix) => self.add_local_route(host, ip, prefix, name),
                        // `bind` of IPv6 asks the addresses, packets ask the routes.
                        (IpAddr::V6(_), _) => {
                            self.local6.push(Net::parse(dst)?);
                            Ok(())
                        }
                    },
                    ["route", "add", "blackhole", net] => {
                        self.routes.push((Net::parse(net)?, Leads::Nowhere));
                        Ok(())
                    }
                    ["route", "add", net, "via", gateway] => {
                        self.routes.push((Net::parse(net)?, Leads::Via(gateway.parse().ok()?)));
                        Ok(())
                    }
                    ["route", "add", net, "dev", name] => {
                        let over = Leads::Over((*name).into());
                        self.routes.push((Net::parse(net)?, over));
                        Ok(())
                    }
                    ["route", "del", net] => {
                        let gone = Net::parse(net)?;
                        self.routes.retain(|(net, _)| *net != gone);
                        Ok(())
                    }
                    _ => return None,
                }
            }
            ["sysctl", rest @ ..] => {
                let settings = rest.iter().filter(|w| !w.starts_with('-'));
                for setting in settings {
                    let (key, value) = setting.split_once('=')?;
                    if let Err(unsupported) = self.sysctl(host, key, value) {
                        return Some(Err(unsupported));
                    }
                }
                Ok(())
            }
            _ => return None,
        };
        Some(done)
    }
}

fn prefixed(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, prefix) = match text.split_once('/') {
        Some((ip, prefix)) => (ip.parse().ok()?, Some(prefix.parse().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    Some((ip, prefix.unwrap_or(if ip.is_ipv4() { 32 } else { 128 })))
}
