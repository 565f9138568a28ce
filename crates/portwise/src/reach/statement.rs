//! Rules that fixes add: as the kernel executes them, and as nft(8) and iptables(8) take them.

use std::net::{IpAddr, SocketAddr};

use portwise_model::{
    Protocol,
    linux::netfilter::{
        Chain, Cmp, Ct, Expr, Header, Meta, NatKind, NatRegs, Rule, Ruleset, TableFamily, Verdict,
    },
};

use crate::{observe::tools, render::phrase::quoted};

/// Where values are put, as bytes of the registers.
const VALUE: u8 = 16;
const PORT: u8 = 32;

/// A rule to be, without the place where it goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    exprs: Vec<Expr>,
    nft: Vec<String>,
    iptables: Vec<String>,
}

impl Statement {
    pub(super) fn new() -> Statement {
        Statement::default()
    }

    fn with(mut self, exprs: Vec<Expr>, nft: String, iptables: String) -> Statement {
        self.exprs.extend(exprs);
        self.nft.push(nft);
        self.iptables.push(iptables);
        self
    }

    fn equals(key: Expr, data: &[u8]) -> Vec<Expr> {
        vec![key, Expr::Cmp { op: Cmp::Eq, sreg: VALUE, data: data.to_vec() }]
    }

    /// Packets that came by this device.
    pub(super) fn comes_by(self, device: &str) -> Statement {
        let exprs = name_is(Meta::IifName, device);
        self.with(exprs, format!("iifname {}", quoted(device)), format!("-i {}", quoted(device)))
    }

    /// Packets that leave by this device.
    pub(super) fn leaves_by(self, device: &str) -> Statement {
        let exprs = name_is(Meta::OifName, device);
        self.with(exprs, format!("oifname {}", quoted(device)), format!("-o {}", quoted(device)))
    }

    /// Packets from the network that `ip` is in.
    pub(super) fn from(self, ip: IpAddr, prefix: u8) -> Statement {
        let (net, mask) = network(ip, prefix);
        let (offset, len) = if ip.is_ipv4() { (12, 4) } else { (8, 16) };
        let mut exprs = family(ip);
        exprs.push(Expr::Payload { base: Header::Network, offset, len, dreg: VALUE });
        let xor = vec![0; mask.len()];
        exprs.push(Expr::Bitwise { sreg: VALUE, dreg: VALUE, mask, xor });
        exprs.push(Expr::Cmp { op: Cmp::Eq, sreg: VALUE, data: bytes(net) });
        self.with(
            exprs,
            format!("{} saddr {net}/{prefix}", ip_word(ip)),
            format!("-s {net}/{prefix}"),
        )
    }

    /// Packets to an address.
    pub(super) fn to(self, ip: IpAddr) -> Statement {
        let (offset, len) = if ip.is_ipv4() { (16, 4) } else { (24, 16) };
        let mut exprs = family(ip);
        let key = Expr::Payload { base: Header::Network, offset, len, dreg: VALUE };
        exprs.extend(Self::equals(key, &bytes(ip)));
        self.with(exprs, format!("{} daddr {ip}", ip_word(ip)), format!("-d {ip}"))
    }

    /// Packets to a port, or from one.
    pub(super) fn port(self, protocol: Protocol, port: u16, is_source: bool) -> Statement {
        let name = protocol.name();
        let (word, offset) = if is_source { ("sport", 0) } else { ("dport", 2) };
        let mut exprs = l4(match protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        });
        let key = Expr::Payload { base: Header::Transport, offset, len: 2, dreg: VALUE };
        exprs.extend(Self::equals(key, &port.to_be_bytes()));
        self.with(exprs, format!("{name} {word} {port}"), format!("-p {name} --{word} {port}"))
    }

    /// Packets of connections that are known.
    pub(super) fn known(self) -> Statement {
        const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
        let mask = ESTABLISHED_OR_RELATED.to_ne_bytes().to_vec();
        let exprs = vec![
            Expr::Ct { key: Ct::State, reply: None, len: 4, dreg: VALUE },
            Expr::Bitwise { sreg: VALUE, dreg: VALUE, mask, xor: vec![0; 4] },
            Expr::Cmp { op: Cmp::Ne, sreg: VALUE, data: vec![0; 4] },
        ];
        self.with(
            exprs,
            "ct state established,related".into(),
            "-m conntrack --ctstate ESTABLISHED,RELATED".into(),
        )
    }

    /// Questions of IPv6 neighbours for a hardware address.
    pub(super) fn solicitation(self) -> Statement {
        const ICMPV6: u8 = 58;
        const SOLICITATION: u8 = 135;
        let mut exprs = l4(ICMPV6);
        let key = Expr::Payload { base: Header::Transport, offset: 0, len: 1, dreg: VALUE };
        exprs.extend(Self::equals(key, &[SOLICITATION]));
        self.with(
            exprs,
            "icmpv6 type nd-neighbor-solicit".into(),
            "-p ipv6-icmp --icmpv6-type neighbour-solicitation".into(),
        )
    }

    /// They pass, or go no further.
    pub(super) fn verdict(self, accepts: bool) -> Statement {
        let (verdict, nft, iptables) = match accepts {
            true => (Verdict::Accept, "accept", "-j ACCEPT"),
            false => (Verdict::Drop, "drop", "-j DROP"),
        };
        self.with(vec![Expr::Verdict(verdict)], nft.into(), iptables.into())
    }

    /// They go to this port of the host itself.
    pub(super) fn redirect(self, port: u16) -> Statement {
        let data = port.to_be_bytes().to_vec();
        let regs = NatRegs { port: Some((PORT, PORT)), ..NatRegs::default() };
        self.with(
            vec![Expr::Immediate { dreg: PORT, data }, Expr::Redirect { regs }],
            format!("redirect to :{port}"),
            format!("-j REDIRECT --to-ports {port}"),
        )
    }

    /// They go there instead.
    pub(super) fn dnat(self, to: SocketAddr) -> Statement {
        let regs = NatRegs { addr: Some((VALUE, VALUE)), port: Some((PORT, PORT)), netmap: false };
        let exprs = vec![
            Expr::Immediate { dreg: VALUE, data: bytes(to.ip()) },
            Expr::Immediate { dreg: PORT, data: to.port().to_be_bytes().to_vec() },
            Expr::Nat { kind: NatKind::Dnat, regs },
        ];
        self.with(
            exprs,
            format!("dnat {} to {to}", ip_word(to.ip())),
            format!("-j DNAT --to-destination {to}"),
        )
    }

    /// They leave with an address of this host.
    pub(super) fn masquerade(self) -> Statement {
        self.with(vec![Expr::Masquerade], "masquerade".into(), "-j MASQUERADE".into())
    }

    /// The rule as the kernel would have it.
    pub(super) fn rule(&self) -> Rule {
        Rule { handle: 0, exprs: self.exprs.clone(), comment: "".into() }
    }
}

/// A command that adds a statement to a chain: before the rule at `at`, or behind all of them.
pub(super) fn command(
    rules: &Ruleset,
    chain: &Chain,
    at: Option<usize>,
    statement: &Statement,
) -> Option<String> {
    if let Some(tool) = iptables(rules, chain) {
        let table =
            if chain.table == "filter" { String::new() } else { format!("-t {} ", chain.table) };
        let name = quoted(&chain.name);
        let place = match at {
            Some(at) => format!("-I {name} {}", at + 1),
            None => format!("-A {name}"),
        };
        return Some(format!("{tool} {table}{place} {}", statement.iptables.join(" ")));
    }
    let words = statement.nft.join(" ");
    let (family, table, name) = (chain.family.name(), plain(&chain.table)?, plain(&chain.name)?);
    Some(match at.map(|at| chain.rules.get(at)) {
        // The first of them all is put before whatever is there.
        Some(_) if at == Some(0) => format!("nft insert rule {family} {table} {name} {words}"),
        Some(Some(before)) => {
            format!("nft insert rule {family} {table} {name} handle {} {words}", before.handle)
        }
        _ => format!("nft add rule {family} {table} {name} {words}"),
    })
}

/// The iptables(8) that a chain belongs to; `None` if it is one of nftables.
pub(super) fn iptables(rules: &Ruleset, chain: &Chain) -> Option<String> {
    const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
    const CHAINS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
    let is_v6 = match chain.family {
        TableFamily::Ip => false,
        TableFamily::Ip6 => true,
        _ => return None,
    };
    let is_its = |other: &Chain| {
        other.family == chain.family && other.table == chain.table && other.base.is_some()
    };
    let named = |other: &Chain| CHAINS.contains(&other.name.as_ref());
    let is_iptables = chain.legacy
        || TABLES.contains(&chain.table.as_ref())
            && rules.chains.iter().any(|other| is_its(other) && named(other));
    is_iptables.then(|| tools::iptables(is_v6, chain.legacy))
}

/// A name that nft(8) and the shell take as it is.
pub(super) fn plain(name: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (starts && name.chars().all(is_plain)).then_some(name)
}

fn l4(number: u8) -> Vec<Expr> {
    Statement::equals(Expr::Meta { key: Meta::L4Proto, dreg: VALUE }, &[number])
}

/// That the packet is of the family of `ip`.
fn family(ip: IpAddr) -> Vec<Expr> {
    let number = if ip.is_ipv4() { 2 } else { 10 };
    Statement::equals(Expr::Meta { key: Meta::NfProto, dreg: VALUE }, &[number])
}

fn name_is(key: Meta, name: &str) -> Vec<Expr> {
    let mut data = name.as_bytes().to_vec();
    data.resize(16, 0);
    Statement::equals(Expr::Meta { key, dreg: VALUE }, &data)
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

const fn ip_word(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "ip" } else { "ip6" }
}

/// The network that `ip` is in, and its mask.
fn network(ip: IpAddr, prefix: u8) -> (IpAddr, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            (IpAddr::V4((ip.to_bits() & mask).into()), mask.to_be_bytes().to_vec())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            (IpAddr::V6((ip.to_bits() & mask).into()), mask.to_be_bytes().to_vec())
        }
    }
}
