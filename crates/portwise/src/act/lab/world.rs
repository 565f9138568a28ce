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
