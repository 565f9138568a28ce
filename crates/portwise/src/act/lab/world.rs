//! The network namespace in which random scenarios play, as `conform` files describe it.

use portwise_model::scenario::format::Setup;

/// Devices with their addresses: `d0` and `d1` have a link, `x0` has none, so that its IPv6
/// address stays tentative. Both links have the same link-local address.
pub(super) const ADDRESSES: &[(&str, &str, u8, bool)] = &[
    ("d0", "192.0.2.1", 24, true),
    ("d0", "2001:db8::1", 64, true),
    ("d0", "fe80::1", 64, true),
    ("d1", "198.51.100.1", 24, true),
    ("d1", "2001:db8:1::1", 64, true),
    ("d1", "fe80::1", 64, true),
    ("x0", "2001:db8:7::5", 64, false),
];

/// Veth pairs, in the order in which they are made.
pub(super) const PAIRS: &[(&str, &str)] = &[("d0", "d0p"), ("d1", "d1p"), ("x0", "x1")];

/// The part of [`PAIRS`] whose both ends go up.
pub(super) const LINKED: &[&str] = &["d0", "d1"];

/// The same as a scenario file says it.
pub(super) fn setup() -> Setup {
    let mut cmds =
        vec!["ip link add x0 type veth peer name x1".to_string(), "ip link set x0 up".to_string()];
    for (device, ip, prefix, nodad) in ADDRESSES {
        let nodad = if *nodad && ip.contains(':') { " nodad" } else { "" };
        cmds.push(format!("ip addr add {ip}/{prefix} dev {device}{nodad}"));
    }
    Setup { devs: LINKED.iter().map(|d| d.to_string()).collect(), cmds, ..Setup::default() }
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command, thread};

    use portwise_model::{FactKey, Host, IfAddr, Interface, LocalRoute, scenario::host_of};

    use super::*;
    use crate::{
        act::lab::{namespace, room::Room},
        observe::live,
    };

    /// What rules look at: interfaces in the order of their indices, and routes in any order.
    #[derive(Debug, PartialEq)]
    struct Seen {
        interfaces: Vec<Interface>,
        routes: Vec<LocalRoute>,
        exists: bool,
    }

    fn seen(host: &Host) -> Seen {
        let mut interfaces = host.interfaces.value().expect("interfaces").list.clone();
        portwise_model::sort::sort_by_key(&mut interfaces, |i| i.index);
        for interface in &mut interfaces {
            portwise_model::sort::sort_by_key(&mut interface.addresses, |a| a.ip);
        }
        let routes = host.local_routes.value().expect("routes");
        let mut list = routes.list.clone();
        portwise_model::sort::sort_by_key(&mut list, |r| (r.dst, r.prefix, r.device));
        Seen { interfaces, routes: list, exists: routes.exists }
    }

    /// What the observers of `why` see in this thread's namespace.
    fn observed() -> Host {
        let mut setting = live::setting().expect("credentials and a version");
        for key in [FactKey::Interfaces, FactKey::LocalRoutes] {
            setting.observe(&key).unwrap_or_else(|missing| panic!("{missing:?}"));
        }
        setting.host
    }

    /// Leaves out the link-local addresses that the kernel gives to a device which goes up.
    fn without_own(mut observed: Seen, modelled: &Seen) -> Seen {
        let made =
            |a: &IfAddr| matches!(a.ip, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local());
        for (there, asked) in observed.interfaces.iter_mut().zip(&modelled.interfaces) {
            there.addresses.retain(|a| !made(a) || asked.addresses.iter().any(|b| b.ip == a.ip));
        }
        observed
    }

    fn assert_as_modelled(setup: &Setup) {
        let there = observed();
        let (host, _) = host_of(there.kernel.clone(), setup).expect("a setup that is modelled");
        let modelled = seen(&host);
        assert_eq!(without_own(seen(&there), &modelled), modelled, "{setup:?}");
    }

    /// Runs the test of this name as somebody who may make network namespaces; a plain user becomes root of a
    /// user namespace for it, in a process of its own.
    fn with_namespaces(name: &str, test: impl FnOnce() + Send) {
        const AGAIN: &str = "PORTWISE_TEST_IN_USER_NAMESPACE";
        let allowed = thread::scope(|scope| scope.spawn(namespace::fresh).join());
        match allowed.expect("it does not panic") {
            Ok(()) => thread::scope(|scope| {
                scope.spawn(test);
            }),
            Err(why) if env::var_os(AGAIN).is_some() => portwise_sys::not_run!("{}", why.0),
            Err(_) => {
                let again = Command::new("unshare")
                    .args(["--user", "--map-root-user"])
                    .arg(env::current_exe().expect("its own path"))
                    .args(["--exact", &format!("act::lab::world::tests::{name}"), "--nocapture"])
                    .env(AGAIN, "1")
                    .output();
                let output = match again {
                    Ok(output) => output,
                    Err(error) => return portwise_sys::not_run!("no unshare: {error}"),
                };
                let said = String::from_utf8_lossy(&output.stdout);
                let complaint = String::from_utf8_lossy(&output.stderr);
                if said.contains("1 passed") {
                    print!("{said}");
                    for why in complaint.lines().filter_map(|line| line.strip_prefix("not run: ")) {
                        portwise_sys::not_run!("{why}");
                    }
                } else if said.is_empty() {
                    portwise_sys::not_run!("{}", complaint.trim());
                } else {
                    panic!("{said}{complaint}");
                }
            }
        }
    }

    #[test]
    fn the_kernel_makes_the_world_that_the_model_has() {
        with_namespaces("the_kernel_makes_the_world_that_the_model_has", || {
            namespace::build().unwrap_or_else(|why| panic!("{}", why.0));
            assert_as_modelled(&setup());
        });
    }

    #[test]
    fn setups_of_scenario_files_are_made_as_the_model_has_them() {
        with_namespaces("setups_of_scenario_files_are_made_as_the_model_has_them", || {
            let setups = [
                setup(),
                Setup::default(),
                Setup { lo_down: true, ..Setup::default() },
                Setup { veth: true, ..Setup::default() },
                Setup { veth: true, devs: vec!["a".into(), "b".into()], ..Setup::default() },
            ];
            for setup in setups {
                let mut room = Room::new(&setup).unwrap_or_else(|why| panic!("{}", why.0));
                match room.furnish(&setup) {
                    Ok(()) => assert_as_modelled(&setup),
                    Err(why) => portwise_sys::not_run!("{}", why.0),
                }
            }
        });
    }
}
