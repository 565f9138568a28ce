//! `list [FILTER…]`: every bound socket of every network namespace that may be seen, what it
//! covers, whom it is exposed to, and who holds it.

use std::{collections::BTreeMap, net::IpAddr, thread, time::Duration};

use serde::Serialize;

use crate::{
    Trouble,
    cli::{Global, Output},
    explain::listed::{ListedProcess, ListedSocket, Listing, bound_to},
    observe::{
        exposure::{Networks, covers},
        inventory::{self, Inventory, Namespaces, Query, States, Transport},
        user::{self, Directory},
    },
    render::{json, listing},
};

mod exposed;
pub mod filter;

use exposed::{Reached, only_exposed};
use filter::Filters;

/// Arguments of `list`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// What was typed.
    #[arg(
        help = "Ports (80, 8000-8099), addresses (127.0.0.1), both (127.0.0.1:80), states (listen, \
                time-wait)",
        value_name = "FILTER"
    )]
    pub filters: Vec<String>,
    /// TCP, with MPTCP
    #[arg(short, long)]
    pub tcp: bool,
    /// UDP, with UDP-Lite
    #[arg(short, long)]
    pub udp: bool,
    /// Every state: connections too, and what is left of them
    #[arg(short, long)]
    pub all: bool,
    /// Only what this user owns or has open
    #[arg(long, value_name = "USER|UID")]
    pub user: Option<String>,
    /// Only what others than this host reach, past the firewall
    #[arg(long)]
    pub exposed: bool,
    /// Do not look for the processes
    #[arg(long)]
    pub no_holders: bool,
    /// Look for the processes in /proc only
    #[arg(long)]
    pub no_bpf: bool,
    /// One JSON object a line, each a socket with its processes
    #[arg(long, conflicts_with = "json")]
    pub json_lines: bool,
    /// Without the line of column names
    #[arg(long)]
    pub no_header: bool,
    /// Again and again, every N seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub watch: Option<u32>,
}

/// What `list --json` writes.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    listing: &'a Listing,
}

/// A line of `list --json-lines`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    schema: &'static str,
    #[serde(flatten)]
    socket: &'a ListedSocket,
    processes: Vec<&'a ListedProcess>,
}

/// Runs the verb and returns its exit status.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    if global.on.is_some() || global.facts.is_some() || global.who.is_some() {
        return Err(Trouble::new(
            "list shows this machine as you see it: --on, --facts and --as do not go with it",
        ));
    }
    let filters = Filters::read(&args.filters)?;
    let mut status = round(args, global, &filters, output)?;
    while let Some(seconds) = args.watch {
        thread::sleep(Duration::from_secs(seconds.into()));
        if output.is_gone() {
            break;
        }
        if output.columns().is_some() && !global.json && !args.json_lines {
            // To the upper left corner, and what was there away.
            output.data("\x1b[H\x1b[2J");
        } else if !args.json_lines {
            output.data("\n");
        }
        status = round(args, global, &filters, output)?;
    }
    Ok(status)
}

/// Lists once.
fn round(
    args: &Args,
    global: &Global,
    filters: &Filters,
    output: &mut Output<'_>,
) -> Result<u8, Trouble> {
    let (listing, inventory) = look(args, global, filters)?;
    if global.json {
        output.data(&json::write(&Document { schema: "portwise.list/1", listing: &listing }));
    } else if args.json_lines {
        let mut text = String::new();
        for socket in &listing.sockets {
            let processes = socket.holders.iter().filter_map(|h| listing.process(h.pid)).collect();
            text += &json::line(&Line { schema: "portwise.list-line/1", socket, processes });
        }
        output.data(&text);
    } else if !global.quiet {
        let view = listing::View {
            header: !args.no_header,
            states: args.all || filters.asks_for_connections(),
            columns: output.columns(),
            style: output.style(),
        };
        listing::write(&listing, &view, |part| output.data(part));
        output.note(&listing::notes(&listing, global.verbose));
    }
    let status = match listing.sockets.is_empty() {
        false => 0,
        true if listing.hides_sockets() => 3,
        true => 1,
    };
    if args.watch.is_none() {
        // The process ends, which is faster than to free each piece of what may be very much.
        std::mem::forget((listing, inventory));
    }
    Ok(status)
}

/// Looks, and keeps what was asked for.
///
/// # Errors
/// If the sockets cannot be listed at all, or the user or namespace asked for is unknown.
pub fn list(args: &Args, global: &Global, filters: &Filters) -> Result<Listing, Trouble> {
    look(args, global, filters).map(|(listing, _)| listing)
}

/// The same, and what it was made of.
fn look(args: &Args, global: &Global, filters: &Filters) -> Result<(Listing, Inventory), Trouble> {
    let directory = user::here();
    let uid = args.user.as_deref().map(|name| uid(name, &directory)).transpose()?;
    let mut inventory = inventory::take(&query(args, global, filters))?;
    let asked_pid = global.pid;
    inventory.sockets.retain(|socket| {
        let fits = |filter: &filter::Where| {
            filter.ports.is_none_or(|(low, high)| (low..=high).contains(&socket.port))
                && filter.ip.is_none_or(|ip| concerns(socket, ip))
        };
        filters.fits(socket.state, fits)
            && asked_pid.is_none_or(|pid| socket.holders.iter().any(|holder| holder.pid == pid))
    });
    let networks = networks(&inventory);
    let reached = match args.exposed {
        true => only_exposed(&mut inventory, &networks),
        false => Reached::default(),
    };
    inventory.describe();
    if let Some(uid) = uid {
        let Inventory { sockets, processes, .. } = &mut inventory;
        let has = |pid: u32| processes.get(&pid).is_some_and(|process| process.uid == uid);
        sockets.retain(|socket| socket.uid == Some(uid) || socket.pids().any(has));
        let held = |pid: &u32| sockets.iter().any(|s| s.holders.iter().any(|h| h.pid == *pid));
        let gone: Vec<u32> = processes.keys().copied().filter(|pid| !held(pid)).collect();
        gone.iter().for_each(|pid| drop(processes.remove(pid)));
    }
    let mut users = BTreeMap::new();
    for (name, uid, _) in directory.users {
        users.entry(uid).or_insert(name);
    }
    let is_root = user::is_root();
    let mut listing = Listing::new(&inventory, &networks, &users, is_root);
    reached.tell(&mut listing);
    Ok((listing, inventory))
}

fn query(args: &Args, global: &Global, filters: &Filters) -> Query {
    let mut transports = Vec::new();
    if args.tcp {
        transports.extend([Transport::Tcp, Transport::Mptcp]);
    }
    if args.udp {
        transports.extend([Transport::Udp, Transport::UdpLite]);
    }
    if transports.is_empty() {
        transports.extend(Transport::ALL);
    }
    let all = args.all || filters.asks_for_connections();
    Query {
        transports,
        family: global.family(),
        port: filters.only_port(),
        states: if all { States::All } else { States::Bound },
        namespaces: match &global.netns {
            Some(name) => Namespaces::One(name.clone()),
            None => Namespaces::All,
        },
        holders: !args.no_holders || global.pid.is_some() || args.user.is_some(),
        // The table does not show them.
        options: global.json || args.json_lines,
        no_bpf: args.no_bpf,
    }
}

/// Whether a socket has that address or gets what is sent to it.
fn concerns(socket: &inventory::Socket, ip: IpAddr) -> bool {
    socket.ip == ip || covers(bound_to(socket), ip)
}

fn uid(name: &str, directory: &Directory) -> Result<u32, Trouble> {
    let named = user::named(name, directory);
    named.map(|named| named.uid).map_err(|what| Trouble::new(format!("--user: {what}")))
}

/// The networks of each namespace that has a socket.
#[cfg(target_os = "linux")]
fn networks(inventory: &Inventory) -> BTreeMap<u64, Networks> {
    let has_any = |n: &&inventory::Namespace| inventory.sockets.iter().any(|s| s.netns == n.inode);
    let namespaces: Vec<&inventory::Namespace> =
        inventory.namespaces.iter().filter(has_any).collect();
    let found = inventory::within_each(&namespaces, |_| crate::observe::exposure::networks());
    let known = |(namespace, found): (&&inventory::Namespace, Result<_, _>)| {
        Some((namespace.inode, Result::flatten(found).ok()?))
    };
    namespaces.iter().zip(found).filter_map(known).collect()
}

#[cfg(not(target_os = "linux"))]
fn networks(_: &Inventory) -> BTreeMap<u64, Networks> {
    BTreeMap::new()
}
