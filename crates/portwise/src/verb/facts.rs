//! `facts [-o FILE]`: what is known, where it was read, what could not be.

use std::{collections::BTreeMap, fs, path::PathBuf};

use portwise_model::{
    Coverage, Fact, FactKey, Host, KernelFamily, Missing, Program, Socket, Subject, Text,
};

use super::kernel;
use crate::{
    Setting, Trouble,
    cli::{Global, Output, ProgramArg},
    observe::{
        file::{Facts, SCHEMA},
        is_orphan,
    },
    render::{
        json,
        page::{Page, Style},
        phrase, text,
    },
};

/// Arguments of `facts`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Write the facts as JSON into this file, for --facts
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Keep the arguments of CMD, not its name only
    #[arg(long)]
    pub with_args: bool,
    #[command(flatten)]
    pub(crate) program: ProgramArg,
}

/// The sysctls that rules of Linux look at.
const LINUX_SYSCTLS: &[&str] = &[
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv6.ip_nonlocal_bind",
    "net.ipv6.bindv6only",
    "net.ipv4.ip_autobind_reuse",
];

/// Observes everything that a rule may ask for.
pub fn facts(setting: &mut Setting) -> Facts {
    let mut missing: Vec<Missing> = Vec::new();
    // As `why` does, so that the file answers as this machine.
    setting.look_closely();
    for key in wanted(setting) {
        if let Err(reason) = setting.observe(&key) {
            missing.push(reason);
        }
    }
    missing.extend(socket_options(setting));
    missing.extend(setting.host.sockets.hidden.clone());
    let sockets: Vec<Socket> = setting.host.sockets.observed().copied().collect();
    let holders = setting.holders(&sockets);
    let mut users = BTreeMap::new();
    let uids = sockets.iter().filter_map(|s| s.uid).chain([setting.subject.uid]);
    let uids = uids.chain(owners(&setting.subject.programs));
    for uid in uids.collect::<std::collections::BTreeSet<u32>>() {
        users.extend(setting.user(uid).map(|name| (uid, name)));
    }
    Facts {
        schema: SCHEMA.into(),
        host: setting.host.clone(),
        subject: setting.subject.clone(),
        gid: setting.gid,
        assumed: setting.assumed.clone(),
        process: setting.asking_process().cloned(),
        command: setting.command.clone(),
        netns: setting.netns.clone(),
        holders,
        users,
        missing,
    }
}

/// Who owns the files of programs, and the directories on the way to them.
fn owners(programs: &[Program]) -> impl Iterator<Item = u32> {
    programs.iter().flat_map(Program::opened).flat_map(|file| {
        let inode = file.inode.value().into_iter().flatten();
        file.directories.iter().chain(inode).map(|inode| inode.uid)
    })
}

/// Observes the options of every socket: the first look reads all that can be read. Returns why
/// the others cannot, for one socket without holder and one whose holder is not to be seen.
fn socket_options(setting: &mut Setting) -> Vec<Missing> {
    let unread = |setting: &Setting, orphans: bool| {
        let all = setting.host.sockets.observed();
        let mut unread = all.filter(|s| s.options.reuseaddr.is_none());
        unread.find(|s| is_orphan(s.id) == orphans).map(|s| FactKey::SocketOptions(s.id))
    };
    if let Some(key) = unread(setting, false) {
        let _ = setting.observe(&key);
    }
    let left = [unread(setting, false), unread(setting, true)];
    left.into_iter().flatten().filter_map(|key| setting.observe(&key).err()).collect()
}

/// The facts that are not known yet.
fn wanted(setting: &Setting) -> Vec<FactKey> {
    let Setting { host, subject, .. } = setting;
    let mut wanted = Vec::new();
    let mut want = |known: bool, key: FactKey| {
        if !known {
            wanted.push(key);
        }
    };
    want(host.interfaces.value().is_some(), FactKey::Interfaces);
    if host.kernel.family == KernelFamily::Linux {
        want(host.local_routes.value().is_some(), FactKey::LocalRoutes);
        for name in LINUX_SYSCTLS {
            want(host.sysctl(name).is_ok(), FactKey::Sysctl(Text::Borrowed(name)));
        }
        want(subject.userns.value().is_some(), FactKey::UserNs);
        want(subject.capabilities.value().is_some(), FactKey::Capabilities);
        want(subject.gates.value().is_some(), FactKey::Gates);
        if let Some(credentials) = subject.credentials.value() {
            want(credentials.ids.value().is_some(), FactKey::IdMap);
            want(credentials.securebits.value().is_some(), FactKey::Securebits);
        }
        want(host.buckets.value().is_some(), FactKey::BindBucket(0));
    }
    want(host.local_ports.value().is_some(), FactKey::LocalPorts);
    want(host.sockets.all().is_ok(), FactKey::AllSockets);
    wanted
}

/// Runs the verb and returns its exit status.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    let mut setting = global.setting_of(&args.program.command)?;
    if !args.with_args {
        setting.command.truncate(1);
    }
    let known = facts(&mut setting);
    if let Some(file) = &args.output {
        let name = file.display();
        fs::write(file, json::write(&known))
            .map_err(|error| Trouble::new(format!("cannot write {name}: {error}")))?;
        if !global.quiet {
            output.note(&format!("portwise: wrote {}\n", crate::render::clean(&name.to_string())));
        }
        return Ok(0);
    }
    if global.json {
        output.data(&json::write(&known));
    } else if !global.quiet {
        output.data(&text(&mut setting, &known, output.style(), global.verbose));
    }
    Ok(0)
}

fn text(setting: &mut Setting, known: &Facts, style: Style, all: bool) -> String {
    let mut page = Page::new(style);
    page.fact("kernel", &kernel(setting).name, &known.host.kernel.release);
    subject(&mut page, known);
    network(&mut page, &known.host);
    sysctls(&mut page, &known.host);
    sockets(&mut page, setting, known, all);
    for reason in &known.missing {
        page.label("unseen");
        let what = what(&reason.key);
        page.text(&format!("{what}: {}", reason.why));
        if !reason.reveal.is_empty() {
            page.detail(&format!("to find out: {}", reason.reveal));
        }
    }
    page.finish() + &text::assumptions(&known.assumed)
}

fn what(key: &FactKey) -> String {
    match key {
        FactKey::Interfaces => "interfaces".into(),
        FactKey::LocalRoutes => "local routes".into(),
        FactKey::LocalAddress(ip) => format!("the address {ip}"),
        FactKey::Sysctl(name) => name.to_string(),
        FactKey::LocalPorts => "automatic ports".into(),
        FactKey::Sockets(port) => format!("sockets on port {port}"),
        FactKey::AllSockets => "sockets".into(),
        FactKey::SocketOptions(_) => "options of some sockets".into(),
        FactKey::BindBucket(_) => "memory of shared ports".into(),
        FactKey::Capabilities => "capabilities".into(),
        FactKey::UserNs => "user namespace".into(),
        FactKey::Credentials => "credentials".into(),
        FactKey::Securebits => "securebits".into(),
        FactKey::IdMap => "ids of the user namespace".into(),
        FactKey::File(path) => path.to_string(),
        FactKey::Gates => "gates of the process".into(),
        FactKey::Feature(name) | FactKey::Policy(name) => name.to_string(),
        FactKey::Policies => "policies".into(),
    }
}

fn subject(page: &mut Page, known: &Facts) {
    let Subject { uid, user, capabilities, userns, .. } = &known.subject;
    let user = user.as_deref().or(known.users.get(uid).map(String::as_str));
    page.fact("who", &phrase::user(user, *uid), "");
    if known.host.kernel.family != KernelFamily::Linux {
        return;
    }
    if let Fact::Known { value, from } = capabilities {
        page.fact("rights", &phrase::capabilities(*value), from);
    }
    if let Fact::Known { value, from } = userns {
        page.fact("", phrase::user_namespace(*value), from);
    }
    if let Fact::Known { value, from } = &known.subject.credentials
        && value.no_new_privs
    {
        page.fact("", "no_new_privs is set", from);
    }
    for program in &known.subject.programs {
        let files: Vec<&str> = program.files.iter().map(|file| file.path.as_ref()).collect();
        page.fact("starts", &format!("{}: {}", program.name, files.join(", run by ")), "");
    }
    if let Some(gates) = known.subject.gates.value() {
        gates.present.iter().for_each(|gate| page.fact("gate", &gate.what, &gate.name));
    }
}

fn network(page: &mut Page, host: &Host) {
    if let Fact::Known { value, from } = &host.interfaces {
        for interface in &value.list {
            let addresses: Vec<String> = interface
                .addresses
                .iter()
                .map(|a| format!("{}/{}{}", a.ip, a.prefix, phrase::address_state(a.state)))
                .collect();
            let state = if interface.up { "" } else { " (down)" };
            let name = format!("{} {}{state}", interface.index, interface.name);
            let list =
                if addresses.is_empty() { "no address".into() } else { addresses.join(", ") };
            page.fact("device", &format!("{name}: {list}"), from);
        }
        if !value.complete {
            page.fact("", "other addresses are not known", from);
        }
    }
    if let Fact::Known { value, from } = &host.local_routes {
        let routes: Vec<String> = value.list.iter().map(phrase::route).collect();
        let text = if value.exists { routes.join(", ") } else { "there is no such table".into() };
        page.fact("local", &text, from);
    }
}

fn sysctls(page: &mut Page, host: &Host) {
    for (name, fact) in &host.sysctls {
        if let Fact::Known { value, from } = fact {
            page.fact("sysctl", &format!("{name} is {value}"), from);
        }
    }
    if let Fact::Known { value, from } = &host.local_ports {
        let mut text = format!("automatic ports {} to {}", value.low, value.high);
        if !value.reserved.is_empty() {
            text += &format!(" without {}", crate::explain::ranges(&value.reserved).join(", "));
        }
        page.fact("ports", &text, from);
    }
}

fn sockets(page: &mut Page, setting: &mut Setting, known: &Facts, all: bool) {
    let table = &known.host.sockets;
    if matches!(table.coverage, Coverage::None(_)) {
        return;
    }
    let list: Vec<&Socket> = table.observed().collect();
    page.fact("held", &format!("{} hold a port", list.len()), &table.from);
    let bound = |s: &&&Socket| all || s.remote.is_none();
    let shown: Vec<&&Socket> = list.iter().filter(bound).collect();
    for socket in &shown {
        let described = crate::explain::describe(setting, socket);
        page.detail(&phrase::socket(&described));
        for process in known.holders.of(socket.id) {
            page.detail(&format!("  {}", phrase::holder(process)));
        }
    }
    if shown.len() < list.len() {
        page.detail(&format!("and {} with a connection (-v lists them)", list.len() - shown.len()));
    }
}
