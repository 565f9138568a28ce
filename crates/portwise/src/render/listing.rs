//! Sockets as a table: for a terminal as wide as it is and grouped by port, otherwise with one row
//! for each socket and holder, nothing cut, each column one word but the last.

use super::{
    clean,
    page::{Color, Style},
};
use crate::explain::{
    listed::{ListedHolder, ListedProcess, ListedSocket, Listing, MANY, NamespaceReport},
    owner::{age, program},
};
use crate::halves::in_halves;

/// How a table is wanted.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// With a line of column names.
    pub header: bool,
    /// With sockets in every state.
    pub states: bool,
    /// The columns of the terminal; none if the reader is no terminal.
    pub columns: Option<usize>,
    /// Colours.
    pub style: Style,
}

/// Writes the sockets.
pub fn table(listing: &Listing, view: &View) -> String {
    let mut text = String::new();
    write(listing, view, |part| text += part);
    text
}

/// Writes the sockets, in parts of many lines.
pub fn write(listing: &Listing, view: &View, mut out: impl FnMut(&str)) {
    match view.columns {
        Some(columns) => out(&screen(listing, view, columns)),
        None => rows(listing, view, out),
    }
}

const NOTHING: &str = "-";

const NAMES: [&str; 12] = [
    "PROTO", "STATE", "LOCAL", "PEER", "REACH", "COVERS", "PID", "USER", "AGE", "UNIT", "NETNS",
    "COMMAND",
];

/// One row for each socket and holder. They are gone through twice, for the widths and to write
/// them: a machine may have very many.
fn rows(listing: &Listing, view: &View, mut out: impl FnMut(&str)) {
    let rows = Rows::of(listing);
    let of_names = if view.header { NAMES.map(str::len) } else { [0; NAMES.len()] };
    let widest = |one: [usize; NAMES.len()], other: [usize; NAMES.len()]| {
        std::array::from_fn(|column| one[column].max(other[column]))
    };
    let widths = in_halves(&listing.sockets, MANY, |sockets| {
        let mut widths = of_names;
        rows.each(sockets, |cells| {
            for (size, cell) in widths.iter_mut().zip(cells) {
                *size = width(cell).max(*size);
            }
        });
        widths
    });
    let widths = widths.into_iter().fold(of_names, widest);
    let mut text = String::new();
    if view.header {
        put(&mut text, &NAMES, &widths);
    }
    if !text.is_empty() {
        out(&text);
    }
    // As long as most lines are at most, and as many as there is to be room for at once.
    const LINE: usize = 160;
    const BLOCK: usize = 20_000;
    for block in listing.sockets.chunks(BLOCK) {
        let parts = in_halves(block, MANY, |sockets| {
            let mut text = String::with_capacity(LINE * sockets.len());
            rows.each(sockets, |cells| put(&mut text, cells, &widths));
            text
        });
        parts.iter().for_each(|part| out(part));
    }
}

/// What the rows are made of.
struct Rows<'a> {
    listing: &'a Listing,
    /// As [`Listing::processes`].
    processes: Vec<ProcessCells>,
    /// The words for the namespaces, as [`Listing::namespaces`].
    namespaces: Vec<String>,
}

/// What a row says of a process.
struct ProcessCells {
    pid: String,
    user: String,
    age: String,
    unit: String,
    command: String,
}

impl ProcessCells {
    fn of(process: &ListedProcess) -> ProcessCells {
        let cell = |text: String| clean(&text).into_owned();
        ProcessCells {
            pid: process.pid.to_string(),
            user: cell(process.user.clone().unwrap_or_else(|| process.uid.to_string())),
            age: short(&age(process.about.age_seconds)),
            unit: unit(process).map_or_else(|| NOTHING.into(), cell),
            command: cell(named(process, false)),
        }
    }
}

impl Rows<'_> {
    fn of(listing: &Listing) -> Rows<'_> {
        let namespaces = listing.namespaces.iter();
        Rows {
            listing,
            processes: listing.processes.iter().map(ProcessCells::of).collect(),
            namespaces: namespaces.map(|n| clean(&netns(n)).into_owned()).collect(),
        }
    }

    /// Does something with the cells of each row of these sockets.
    fn each(&self, sockets: &[ListedSocket], mut take: impl FnMut(&[&str; NAMES.len()])) {
        let listing = self.listing;
        for socket in sockets {
            let at = listing.namespaces.iter().position(|n| n.inode == socket.netns);
            let netns = at.map_or(NOTHING, |at| &self.namespaces[at]);
            let (local, peer) = (clean(&socket.local), socket.remote.as_deref().map(clean));
            let mut row = |pid: &str, user: &str, age: &str, unit: &str, command: &str| {
                let peer = peer.as_deref().unwrap_or(NOTHING);
                let reach = socket.reached.unwrap_or(socket.exposure).name();
                let covers = socket.covers.name();
                let (protocol, state) = (socket.protocol, socket.state);
                take(&[
                    protocol, state, &local, peer, reach, covers, pid, user, age, unit, netns,
                    command,
                ]);
            };
            let owner = || match (&socket.user, socket.uid) {
                (Some(user), Some(_)) => clean(user).into_owned(),
                (None, Some(uid)) => uid.to_string(),
                (_, None) => NOTHING.into(),
            };
            if socket.holders.is_empty() {
                let why = format!("({})", why(socket));
                row(NOTHING, &owner(), NOTHING, NOTHING, &clean(&why));
            }
            for holder in &socket.holders {
                match listing.place(holder.pid) {
                    Some(at) => {
                        let ProcessCells { pid, user, age, unit, command } = &self.processes[at];
                        if holder.in_flight {
                            let command = named(&listing.processes[at], true);
                            row(pid, user, age, unit, &clean(&command));
                        } else {
                            row(pid, user, age, unit, command);
                        }
                    }
                    None => {
                        let pid = holder.pid.to_string();
                        let ended = format!("pid {pid} has just ended");
                        row(&pid, &owner(), NOTHING, NOTHING, &ended);
                    }
                }
            }
        }
    }
}

/// A namespace in a word: `-` for the own one.
fn netns(namespace: &NamespaceReport) -> String {
    match namespace {
        NamespaceReport { own: true, .. } => NOTHING.into(),
        NamespaceReport { name: Some(name), .. } => name.clone(),
        NamespaceReport { pid: Some(pid), .. } => format!("pid:{pid}"),
        namespace => format!("net:[{}]", namespace.inode),
    }
}

/// The program and what is odd about it.
fn named(process: &ListedProcess, in_flight: bool) -> String {
    let mut name = program(&process.command, &process.about.arguments);
    let marks = marks(process, in_flight);
    if !marks.is_empty() {
        name += &format!(" ({})", marks.join(", "));
    }
    name
}

/// What is odd about a holder, in a few words.
fn marks(process: &ListedProcess, in_flight: bool) -> Vec<String> {
    let about = &process.about;
    let mut marks = Vec::new();
    if in_flight {
        marks.push("in flight to it".into());
    }
    if about.run != "running" {
        marks.push(about.run.into());
    }
    if about.exe.as_ref().is_some_and(|exe| exe.deleted) {
        marks.push("program replaced".into());
    }
    if about.cwd.as_ref().is_some_and(|cwd| cwd.deleted) {
        marks.push("directory deleted".into());
    }
    if about.parent.as_ref().is_some_and(|parent| parent.zombie) {
        marks.push("parent zombie".into());
    }
    if let Some(forward) = &about.forward {
        marks.push(format!("for {}", forward.to.as_deref().unwrap_or("a container")));
    }
    marks
}

/// The container or unit of a process.
fn unit(process: &ListedProcess) -> Option<String> {
    let about = &process.about;
    let container = about.container.as_ref().map(|container| {
        let id: String = container.id.chars().take(12).collect();
        format!("{}:{id}", container.engine)
    });
    container.or_else(|| about.unit.clone())
}

/// Why no process is named.
fn why(socket: &ListedSocket) -> String {
    let words = socket.no_holder_words.clone().unwrap_or_default();
    match socket.remaining_ms {
        Some(ms) => format!("{words}, {} s more", ms.div_ceil(1000)),
        None => words,
    }
}

fn short(age: &str) -> String {
    let (number, unit) = age.split_once(' ').unwrap_or((age, ""));
    format!("{number}{}", if unit == "min" { "m" } else { unit })
}

fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

fn put(text: &mut String, row: &[impl AsRef<str>], widths: &[usize]) {
    const BLANKS: &str = "                                                                ";
    let last = row.len() - 1;
    for (i, (cell, size)) in row.iter().zip(widths).enumerate() {
        let cell = cell.as_ref();
        text.push_str(cell);
        if i < last {
            let mut blanks = size.saturating_sub(width(cell)) + 2;
            while blanks > 0 {
                let some = blanks.min(BLANKS.len());
                text.push_str(&BLANKS[..some]);
                blanks -= some;
            }
        }
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

/// A table as wide as the terminal, grouped by port, those that share a port in one row.
fn screen(listing: &Listing, view: &View, columns: usize) -> String {
    let several = listing
        .namespaces
        .iter()
        .filter(|namespace| listing.sockets.iter().any(|socket| socket.netns == namespace.inode));
    let several = several.count() > 1;
    let mut names =
        vec!["PORT", "PROTO", "ADDRESS", "COVERS", "EXPOSED TO", "HELD BY", "UNIT", "AGE"];
    if view.states {
        names.splice(2..2, ["STATE"]);
        names.splice(4..4, ["PEER"]);
    }
    let mut text = String::new();
    let mut table: Vec<Vec<String>> = Vec::new();
    let mut narrow: Vec<String> = Vec::new();
    let mut headings: Vec<(usize, String)> = Vec::new();
    for namespace in &listing.namespaces {
        let here: Vec<&ListedSocket> =
            listing.sockets.iter().filter(|s| s.netns == namespace.inode).collect();
        if here.is_empty() {
            continue;
        }
        if several {
            headings.push((table.len(), heading(namespace)));
        }
        let mut port = None;
        let mut at = 0;
        while at < here.len() {
            let socket = here[at];
            let same = here[at..].iter().take_while(|other| is_group(socket, other)).count();
            let (mut cells, held_by) = screen_row(listing, &here[at..at + same], view);
            narrow.push(held_by);
            if port == Some(socket.port) {
                cells[0] = String::new();
            }
            port = Some(socket.port);
            table.push(cells);
            at += same;
        }
    }
    let names: Vec<String> = names.into_iter().map(String::from).collect();
    let empty = |i: usize| table.iter().all(|row| row[i].is_empty() || row[i] == NOTHING);
    let mut kept: Vec<usize> = (0..names.len()).filter(|&i| !empty(i)).collect();
    let natural: usize = kept.iter().map(|&i| widest(&names, &table, i) + 2).sum();
    let column = |name: &str| names.iter().position(|n| n == name);
    if natural > columns + 2
        && let (Some(unit), Some(held)) = (column("UNIT"), column("HELD BY"))
    {
        // The unit or container stands in the place of the user.
        kept.retain(|&i| i != unit);
        for (row, narrow) in table.iter_mut().zip(narrow) {
            row[held] = narrow;
        }
    }
    let pick = |row: &[String]| kept.iter().map(|&i| row[i].clone()).collect::<Vec<_>>();
    let (names, mut table) = (pick(&names), table.iter().map(|row| pick(row)).collect::<Vec<_>>());
    let widths = fitting(&names, &table, columns);
    for row in &mut table {
        for (cell, size) in row.iter_mut().zip(&widths) {
            *cell = cut(cell, *size);
        }
    }
    if view.header && !table.is_empty() {
        let mut line = String::new();
        put(&mut line, &names, &widths);
        text += &view.style.paint(Color::Bold, line.trim_end());
        text.push('\n');
    }
    for (i, row) in table.iter().enumerate() {
        if let Some((_, heading)) = headings.iter().find(|(at, _)| *at == i) {
            text += &view.style.paint(Color::Dim, &cut(heading, columns));
            text.push('\n');
        }
        put(&mut text, row, &widths);
    }
    text
}

fn heading(namespace: &NamespaceReport) -> String {
    let name = match (namespace, &namespace.name, namespace.pid) {
        (NamespaceReport { own: true, .. }, ..) => "this network namespace".into(),
        (_, Some(name), _) => format!("network namespace {name}"),
        (_, None, Some(pid)) => format!("network namespace of pid {pid}"),
        _ => format!("network namespace {}", namespace.inode),
    };
    let processes = match namespace.processes {
        0 => String::new(),
        n => format!(", {}", count(n as usize, "process", "processes")),
    };
    clean(&format!("{name}{processes}")).into_owned()
}

/// Whether two sockets are one row: a group that shares its port.
fn is_group(a: &ListedSocket, b: &ListedSocket) -> bool {
    std::ptr::eq(a, b) || a.group.is_some() && a.group == b.group
}

/// The cells of a row, and who holds it for a terminal that has no room for a column of units.
fn screen_row(listing: &Listing, sockets: &[&ListedSocket], view: &View) -> (Vec<String>, String) {
    let socket = sockets[0];
    let address = socket.local.rsplit_once(':').map_or(socket.local.as_str(), |(ip, _)| ip);
    let mut held: Vec<(&ListedHolder, &ListedProcess)> = Vec::new();
    for holder in sockets.iter().flat_map(|socket| &socket.holders) {
        if let Some(process) = listing.process(holder.pid)
            && !held.iter().any(|(known, _)| known.pid == holder.pid)
        {
            held.push((holder, process));
        }
    }
    let held_by = |user: &dyn Fn(&ListedProcess) -> String| match held.as_slice() {
        [] => why(socket),
        held => holders(held, sockets.len(), user),
    };
    let user = |p: &ListedProcess| p.user.clone().unwrap_or_else(|| format!("uid {}", p.uid));
    let narrow = held_by(&|process| unit(process).unwrap_or_else(|| user(process)));
    let held_by = held_by(&user);
    let unit = held.iter().find_map(|(_, process)| unit(process));
    let oldest = held.iter().map(|(_, process)| process.about.age_seconds).max();
    let port = match socket.port {
        0 => NOTHING.into(),
        port => port.to_string(),
    };
    let mut cells = vec![
        port,
        socket.protocol.to_string(),
        address.into(),
        socket.covers.words().into(),
        socket.reached.unwrap_or(socket.exposure).words().into(),
        held_by,
        unit.unwrap_or_else(|| NOTHING.into()),
        oldest.map_or_else(|| NOTHING.into(), |seconds| short(&age(seconds))),
    ];
    if view.states {
        cells.insert(2, socket.state.into());
        cells.insert(4, socket.remote.clone().unwrap_or_else(|| NOTHING.into()));
    }
    let cells = cells.into_iter().map(|cell| clean(&cell).into_owned()).collect();
    (cells, clean(&narrow).into_owned())
}

/// `812,813 nginx root`: processes of one name and user together.
fn holders(
    held: &[(&ListedHolder, &ListedProcess)],
    sockets: usize,
    user: &dyn Fn(&ListedProcess) -> String,
) -> String {
    let mut groups: Vec<(String, String, Vec<u32>)> = Vec::new();
    for (holder, process) in held {
        let (name, user) = (named(process, holder.in_flight), user(process));
        match groups.iter_mut().find(|(n, u, _)| *n == name && *u == user) {
            Some((_, _, pids)) => pids.push(process.pid),
            None => groups.push((name, user, vec![process.pid])),
        }
    }
    let words = groups.iter().map(|(name, user, pids)| {
        let shown: Vec<String> = pids.iter().take(3).map(u32::to_string).collect();
        let more = if pids.len() > 3 { format!(" +{}", pids.len() - 3) } else { String::new() };
        format!("{}{more} {name} {user}", shown.join(","))
    });
    let text = words.collect::<Vec<_>>().join("; ");
    if sockets > 1 { format!("{sockets} sockets share it: {text}") } else { text }
}

/// Widths that fit the terminal: the widest of those that may be cut give way.
fn fitting(names: &[String], table: &[Vec<String>], columns: usize) -> Vec<usize> {
    const LEAST: usize = 12;
    let mut widths: Vec<usize> = (0..names.len()).map(|i| widest(names, table, i)).collect();
    let cuttable: Vec<usize> = (0..names.len())
        .filter(|&i| matches!(names[i].as_str(), "ADDRESS" | "PEER" | "HELD BY" | "UNIT"))
        .collect();
    loop {
        let total: usize = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        let widest = cuttable.iter().copied().filter(|&i| widths[i] > LEAST);
        let Some(widest) = widest.max_by_key(|&i| widths[i]) else { return widths };
        if total <= columns {
            return widths;
        }
        widths[widest] -= (total - columns).min(widths[widest] - LEAST).clamp(1, 8);
    }
}

fn widest(names: &[String], table: &[Vec<String>], i: usize) -> usize {
    table.iter().map(|row| width(&row[i])).chain([width(&names[i])]).max().unwrap_or(0)
}

fn cut(text: &str, size: usize) -> String {
    if width(text) <= size {
        return text.into();
    }
    let kept: String = text.chars().take(size.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// What the table cannot show, a line each.
pub fn notes(listing: &Listing, verbose: bool) -> String {
    let unseen = &listing.unseen;
    let mut text = String::new();
    let mut say = |line: String| text += &format!("portwise: {}\n", clean(&line));
    let more = if listing.is_root { "" } else { "; `sudo portwise list` shows more" };
    let processes = |n: u32| count(n as usize, "process", "processes");
    let hidden = listing.sockets.iter().filter(|s| s.no_holder == Some("unseen")).count();
    if hidden > 0 {
        let why = match (unseen.processes, unseen.hidepid) {
            (0, true) => "/proc hides processes of others (hidepid)".into(),
            (n, _) if n > 0 => format!("you may not look into {}", processes(n)),
            _ => "what runs outside of this pid namespace is not seen".into(),
        };
        let sockets = count(hidden, "socket", "sockets");
        say(format!("{sockets} without its process: {why}{more}"));
    }
    if unseen.namespaces > 0 {
        let n = processes(unseen.namespaces);
        say(format!("the network namespace of {n} is hidden from you, and what is in it{more}"));
    }
    for namespace in listing.namespaces.iter().filter(|n| n.closed.is_some()) {
        let why = namespace.closed.as_deref().unwrap_or_default();
        say(format!("{} is not listed: {why}", heading(namespace)));
    }
    for namespace in &listing.namespaces {
        if let Some(why) = &namespace.unread_firewall {
            let of = heading(namespace);
            say(format!(
                "{of}: who is exposed by addresses and routes, whatever the firewall: {why}"
            ));
        }
    }
    if unseen.bound_tcp {
        say("before Linux 6.8 nothing shows TCP sockets that are bound and do not listen".into());
    }
    for (protocol, why) in &unseen.protocols {
        if verbose || matches!(*protocol, "tcp" | "udp") {
            say(format!("sockets of {protocol} could not be listed: {why}"));
        }
    }
    if listing.sockets.is_empty() {
        let seen = if listing.hides_sockets() { " among those that can be seen" } else { "" };
        say(format!("no such socket{seen}"));
    }
    if verbose {
        let slower = listing.why_not_faster.as_deref().map(|why| format!("; not faster: {why}"));
        say(format!("processes by {}{}", listing.path, slower.unwrap_or_default()));
    }
    text
}

fn count(n: usize, one: &str, several: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {several}") }
}
