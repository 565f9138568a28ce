//! Programs on Linux: who may start them, and what they may then. The table names what
//! `capabilities(7)` says; `crates/portwise/tests/subjects/` asks the running kernel.

use std::net::Ipv4Addr;

use portwise_model::{
    CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE, CAP_NET_RAW, Call, CapSet, Case, Credentials, Errno,
    Executable, Fact, FactKey, Family, FileCapabilities, FileKind, Finding, Format, Gate, Gates,
    Host, IdMap, Ids, Inode, Kernel, KernelFamily, Missing, Mount, Outcome, Program, Protocol,
    Request, SockAddr, Socket, SocketId, Sockets, Step, Subject, UserNs, Verdict, Version,
    after_programs, decide, fix,
    linux::{self, Buckets, exec},
};

pub(crate) const BIND: CapSet = CapSet::NONE.with(CAP_NET_BIND_SERVICE);

pub(crate) fn host(version: Version) -> Host {
    let kernel = Kernel { family: KernelFamily::Linux, version, release: "test".into() };
    let mut host = Host {
        sockets: Sockets::none("test"),
        buckets: Fact::known(Buckets::default(), "test"),
        local_routes: Fact::known(loopback(), "test"),
        ..Host::not_asked(kernel)
    };
    host.set_sysctl("net.ipv4.ip_unprivileged_port_start", 1024, "test");
    host.set_sysctl("net.ipv4.ip_nonlocal_bind", 0, "test");
    host
}

fn loopback() -> portwise_model::LocalRoutes {
    let route = portwise_model::LocalRoute {
        kind: portwise_model::RouteKind::Local,
        dst: Ipv4Addr::new(127, 0, 0, 0),
        prefix: 8,
        device: 1,
    };
    portwise_model::LocalRoutes { list: vec![route], complete: true, exists: true }
}

pub(crate) const NOW: Version = Version::new(6, 18, 44);
const DEBIAN_13: Version = Version::new(6, 12, 117);

pub(crate) fn inode(path: &str, mode: u16, uid: u32) -> Inode {
    let kind = FileKind::Regular;
    Inode { path: path.to_owned().into(), kind, mode, uid, gid: uid, acl: false }
}

pub(crate) fn file(path: &str, format: Format) -> Executable {
    let root = Inode { kind: FileKind::Directory, ..inode("/", 0o755, 0) };
    Executable {
        path: path.to_owned().into(),
        directories: vec![root],
        inode: Fact::known(Some(inode(path, 0o755, 0)), "test"),
        mount: Fact::known(Mount::default(), "test"),
        capabilities: Fact::known(None, "test"),
        format: Fact::known(format, "test"),
    }
}

pub(crate) fn program(files: Vec<Executable>) -> Program {
    Program {
        name: "program".into(),
        files,
        loader: None,
        origin: Vec::new(),
        elsewhere: Vec::new(),
    }
}

pub(crate) fn elf() -> Program {
    program(vec![file("/bin/server", Format::Elf)])
}

pub(crate) fn script() -> Program {
    program(vec![file("/srv/script", Format::Script), file("/bin/python", Format::Elf)])
}

/// The binary of a program.
pub(crate) fn binary(program: &mut Program) -> &mut Executable {
    program.files.last_mut().unwrap()
}

pub(crate) fn with_capabilities(mut program: Program, capabilities: FileCapabilities) -> Program {
    binary(&mut program).capabilities = Fact::known(Some(capabilities), "test");
    program
}

pub(crate) fn with_mode(mut program: Program, mode: u16, uid: u32) -> Program {
    let path = binary(&mut program).path.to_string();
    binary(&mut program).inode = Fact::known(Some(inode(&path, mode, uid)), "test");
    program
}

pub(crate) const EP: FileCapabilities =
    FileCapabilities { permitted: BIND, inheritable: CapSet::NONE, effective: true, rootid: 0 };
pub(crate) const P: FileCapabilities = FileCapabilities { effective: false, ..EP };
const EI: FileCapabilities = FileCapabilities { permitted: CapSet::NONE, inheritable: BIND, ..EP };

/// A login process with changes made to its credentials.
pub(crate) fn process(uid: u32, change: impl FnOnce(&mut Credentials)) -> Subject {
    let mut credentials = Credentials::login(uid, uid, Vec::new());
    credentials.ids = Fact::known(IdMap::initial(), "test");
    change(&mut credentials);
    let capabilities =
        if credentials.uids.effective == 0 { credentials.permitted } else { credentials.ambient };
    Subject {
        capabilities: Fact::known(capabilities, "test"),
        credentials: Fact::known(credentials, "test"),
        ..Subject::plain(uid, "test")
    }
}

pub(crate) fn plain() -> Subject {
    process(1000, |_| ())
}

pub(crate) fn ambient(credentials: &mut Credentials) {
    (credentials.permitted, credentials.inheritable, credentials.ambient) = (BIND, BIND, BIND);
}

pub(crate) fn without(credentials: &mut Credentials) {
    credentials.bounding = credentials.bounding.without(CAP_NET_BIND_SERVICE);
    credentials.permitted = credentials.permitted.without(CAP_NET_BIND_SERVICE);
}

pub(crate) fn case(
    version: Version,
    mut subject: Subject,
    programs: Vec<Program>,
    port: u16,
) -> Case {
    subject.programs = programs;
    let socket = Socket::new(SocketId::ASKING, Family::Inet, Protocol::Tcp, subject.uid);
    let call = Call::Bind(SockAddr::v4(Ipv4Addr::LOCALHOST, port));
    Case { host: host(version), subject, request: Request { call, socket } }
}

/// The verdict on 127.0.0.1:80 after executing a program.
pub(crate) fn low(subject: Subject, program: Program) -> Verdict {
    decide(&case(NOW, subject, vec![program], 80))
}

pub(crate) const ACCES: &[Outcome] = &[Outcome::Errno(Errno::EACCES)];
pub(crate) const PERM: &[Outcome] = &[Outcome::Errno(Errno::EPERM)];
pub(crate) const OK: &[Outcome] = &[Outcome::Ok];

#[test]
fn what_gives_the_capability_and_what_takes_it() {
    let nnp = |c: &mut Credentials| c.no_new_privs = true;
    let noroot = |c: &mut Credentials| c.securebits = Fact::known(1, "test");
    let inherits = |c: &mut Credentials| c.inheritable = BIND;
    let nosuid = |mut program: Program| {
        let mount = Mount { nosuid: true, ..Mount::default() };
        binary(&mut program).mount = Fact::known(mount, "test");
        program
    };
    let script_with_capabilities = || {
        let mut program = script();
        program.files[0].capabilities = Fact::known(Some(EP), "test");
        program
    };
    let root_elf = || with_mode(elf(), 0o4755, 0);
    let ep = || with_capabilities(elf(), EP);
    for (what, subject, program, expected) in [
        ("plain user", plain(), elf(), ACCES),
        ("root", process(0, |_| ()), elf(), OK),
        ("root without it in the bounding set", process(0, without), elf(), ACCES),
        ("root with SECBIT_NOROOT", process(0, noroot), elf(), ACCES),
        ("root with SECBIT_NOROOT, =ep", process(0, noroot), ep(), OK),
        ("root under no_new_privs", process(0, nnp), elf(), OK),
        ("=ep", plain(), ep(), OK),
        ("=p", plain(), with_capabilities(elf(), P), ACCES),
        ("=ei without inheritable", plain(), with_capabilities(elf(), EI), ACCES),
        ("=ei with inheritable", process(1000, inherits), with_capabilities(elf(), EI), OK),
        ("inheritable alone", process(1000, inherits), elf(), ACCES),
        ("=ep, nosuid", plain(), nosuid(ep()), ACCES),
        ("=ep, no_new_privs", process(1000, nnp), ep(), ACCES),
        ("=ep, not in the bounding set", process(1000, without), ep(), PERM),
        ("root, =ep, not in the bounding set", process(0, without), ep(), PERM),
        ("=p, not in the bounding set", process(1000, without), with_capabilities(elf(), P), ACCES),
        ("=ep, not in the bounding set, nosuid", process(1000, without), nosuid(ep()), ACCES),
        ("script with =ep", plain(), script_with_capabilities(), ACCES),
        ("script, interpreter with =ep", plain(), with_capabilities(script(), EP), OK),
        ("ambient", process(1000, ambient), elf(), OK),
        ("ambient, script", process(1000, ambient), script(), OK),
        ("ambient, no_new_privs", process(1000, |c| (ambient(c), nnp(c)).1), elf(), OK),
        ("ambient, file with other capabilities", process(1000, ambient), other_file(), ACCES),
        ("ambient, set-uid", process(1000, ambient), with_mode(elf(), 0o4755, 1001), ACCES),
        ("set-uid root", plain(), root_elf(), OK),
        ("set-uid root, nosuid", plain(), nosuid(root_elf()), ACCES),
        ("set-uid root, no_new_privs", process(1000, nnp), root_elf(), ACCES),
        ("set-uid root, SECBIT_NOROOT", process(1000, noroot), root_elf(), ACCES),
        ("set-uid root, not in the bounding set", process(1000, without), root_elf(), ACCES),
        (
            "set-uid root with other capabilities",
            plain(),
            with_mode(other_file(), 0o4755, 0),
            ACCES,
        ),
        ("root, set-uid another", process(0, |_| ()), with_mode(elf(), 0o4755, 1001), ACCES),
    ] {
        assert_eq!(low(subject, program).possible, expected, "{what}");
    }
}

/// A file that is given CAP_NET_RAW only.
pub(crate) fn other_file() -> Program {
    let raw = CapSet::NONE.with(CAP_NET_RAW);
    with_capabilities(elf(), FileCapabilities { permitted: raw, ..EP })
}

#[test]
fn sets_after_execve() {
    let after = |subject: &Subject, program: &Program| {
        let after = exec::exec(&host(NOW), subject, program).subject;
        (after.capabilities.get().copied(), after.credentials.get().cloned(), after.uid)
    };
    let (effective, credentials, uid) = after(&plain(), &with_capabilities(elf(), EP));
    let credentials = credentials.unwrap();
    assert_eq!((effective, uid), (Ok(BIND), 1000));
    assert_eq!((credentials.permitted, credentials.ambient), (BIND, CapSet::NONE));
    let (effective, credentials, _) = after(&plain(), &with_capabilities(elf(), P));
    assert_eq!((effective, credentials.unwrap().permitted), (Ok(CapSet::NONE), BIND));
    let (effective, credentials, uid) = after(&plain(), &with_mode(elf(), 0o4755, 0));
    let credentials = credentials.unwrap();
    assert_eq!((effective, uid), (Ok(CapSet::ALL), 0));
    let uids = Ids { real: 1000, effective: 0, saved: 0, filesystem: 0 };
    assert_eq!((credentials.uids, credentials.gids), (uids, Ids::all(1000)));
    // Only with x for the group is the other bit one for the group.
    let set_gid = |mode| after(&plain(), &with_mode(elf(), mode, 7)).1.unwrap().gids.effective;
    assert_eq!((set_gid(0o2755), set_gid(0o2745)), (7, 1000));
    let keeps = process(0, |c| c.securebits = Fact::known(0b1_0000, "test"));
    assert_eq!(after(&keeps, &elf()).1.unwrap().securebits.get(), Ok(&0));
}

/// What root of another user namespace may do with files.
#[test]
fn user_namespaces() {
    let container = |c: &mut Credentials| {
        let ids = vec![(100_000, 165_535)];
        let map =
            IdMap { root: Some(100_000), roots_around: vec![0], uids: ids.clone(), gids: ids };
        c.ids = Fact::known(map, "test");
    };
    let inside = |uid| process(uid, container);
    let meant_for = |rootid| with_capabilities(elf(), FileCapabilities { rootid, ..EP });
    let owned = |uid| with_mode(elf(), 0o4755, uid);
    for (what, subject, program, expected) in [
        ("its root", inside(100_000), elf(), OK),
        ("another uid", inside(100_001), elf(), ACCES),
        ("capabilities for all", inside(100_001), meant_for(0), OK),
        ("capabilities for its root", inside(100_001), meant_for(100_000), OK),
        ("capabilities for another root", inside(100_001), meant_for(200_000), ACCES),
        ("set-uid its root", inside(100_001), owned(100_000), OK),
        ("set-uid the root outside", inside(100_001), owned(0), ACCES),
        ("outside, capabilities for its root", plain(), meant_for(100_000), ACCES),
    ] {
        let mut subject = subject;
        // Root of a user namespace has its capabilities there.
        let credentials = subject.credentials.get().unwrap();
        if credentials.uids.effective == 100_000 {
            subject.capabilities = Fact::known(CapSet::ALL, "test");
        }
        assert_eq!(low(subject, program).possible, expected, "{what}");
    }
    let mut foreign = inside(100_000);
    foreign.userns = Fact::known(UserNs::Foreign, "test");
    assert_eq!(low(foreign, elf()).possible, ACCES);
    let mut creator = plain();
    creator.userns = Fact::known(UserNs::Creator, "test");
    assert_eq!(low(creator.clone(), elf()).possible, OK);
    let other = low(creator, owned(100_000));
    assert_eq!(other.missing().next().map(|m| &m.key), Some(&FactKey::UserNs));
}

#[test]
fn real_and_effective_ids_that_differ() {
    let switched = |c: &mut Credentials| {
        ambient(c);
        (c.uids.effective, c.uids.filesystem) = (1001, 1001);
    };
    let at = |version| decide(&case(version, process(1000, switched), vec![elf()], 80)).possible;
    assert_eq!(at(NOW), OK);
    assert_eq!(at(DEBIAN_13), ACCES);
    // Between the two kernels that were probed.
    assert_eq!(at(Version::new(6, 17, 0)), [ACCES, OK].concat());
    let nnp = |c: &mut Credentials| (switched(c), c.no_new_privs = true).1;
    let uid_at = |version| {
        let subject = Subject { programs: vec![elf()], ..process(1000, nnp) };
        after_programs(&host(version), &subject).uid
    };
    assert_eq!((uid_at(NOW), uid_at(DEBIAN_13)), (1001, 1000));
    // Joining a group one is in already is no change any more.
    let member = |c: &mut Credentials| (ambient(c), c.groups.push(7)).1;
    let joins = |version| {
        let set_gid = with_mode(elf(), 0o2755, 7);
        decide(&case(version, process(1000, member), vec![set_gid], 80)).possible
    };
    assert_eq!((joins(NOW).as_slice(), joins(DEBIAN_13).as_slice()), (OK, ACCES));
}

/// Programs that do not start, or do and are refused the port: the error, and by which rule.
fn hindered() -> Vec<(&'static str, Program, &'static str, &'static str)> {
    let none = |mut file: Executable| {
        file.inode = Fact::known(None, "test");
        file
    };
    let noexec = |mut file: Executable| {
        file.mount = Fact::known(Mount { noexec: true, ..Mount::default() }, "test");
        file
    };
    let mode = |mut file: Executable, mode| {
        let path = file.path.to_string();
        file.inode = Fact::known(Some(inode(&path, mode, 0)), "test");
        file
    };
    let closed = |mut file: Executable| {
        file.directories[0].mode = 0o700;
        file
    };
    let directory = |mut file: Executable| {
        let inode = Inode { kind: FileKind::Directory, ..inode("/bin", 0o755, 0) };
        file.inode = Fact::known(Some(inode), "test");
        file
    };
    let server = || file("/bin/server", Format::Elf);
    let start = || file("/srv/script", Format::Script);
    let chain = |n| {
        let mut files: Vec<Executable> = (0..n).map(|_| start()).collect();
        files.push(server());
        program(files)
    };
    let loaded = |loader| Program { loader: Some(loader), ..elf() };
    let text = program(vec![file("/srv/text", Format::Text), file("/bin/sh", Format::Elf)]);
    vec![
        ("closed directory", program(vec![closed(none(server()))]), "EACCES", "directories"),
        ("no file", program(vec![none(server())]), "ENOENT", "found"),
        ("directory", program(vec![directory(server())]), "EACCES", "regular-file"),
        ("noexec before permission", program(vec![noexec(mode(server(), 0))]), "EACCES", "noexec"),
        ("no x", program(vec![mode(server(), 0o644)]), "EACCES", "permission"),
        ("unknown", program(vec![file("/bin/data", Format::Unknown)]), "ENOEXEC", "format"),
        ("no interpreter", program(vec![start(), none(server())]), "ENOENT", "found"),
        (
            "interpreter without x",
            program(vec![start(), mode(server(), 0o644)]),
            "EACCES",
            "permission",
        ),
        ("script first", program(vec![mode(start(), 0), none(server())]), "EACCES", "permission"),
        ("no loader", loaded(none(server())), "ENOENT", "found"),
        ("loader on noexec", loaded(noexec(server())), "EACCES", "noexec"),
        ("five scripts", chain(5), "EACCES", "reserved-port"),
        ("six scripts", chain(6), "ELOOP", "interpreter-depth"),
        ("text for the shell", text, "EACCES", "reserved-port"),
    ]
}

/// What stops the program, in the order of its files.
#[test]
fn programs_that_do_not_start() {
    for (what, program, errno, rule) in hindered() {
        let verdict = low(plain(), program);
        let [Outcome::Errno(found)] = verdict.possible[..] else { panic!("{what}: {verdict:?}") };
        let last = verdict.trace.last().unwrap().rule.id;
        assert_eq!((found.name(), last.rsplit('.').next()), (errno, Some(rule)), "{what}");
    }
}

#[test]
fn every_rule_of_execve_stops_some_program_and_lets_one_pass() {
    let mut verdicts: Vec<Verdict> =
        hindered().into_iter().map(|(_, program, ..)| low(plain(), program)).collect();
    verdicts.push(low(process(1000, without), with_capabilities(elf(), EP)));
    for rule in linux::EXEC {
        let says = |finding: Finding| {
            let mut steps = verdicts.iter().flat_map(|v| &v.trace);
            steps.any(|step| step.rule.id == rule.id && step.finding == finding)
        };
        assert!(says(Finding::Stops) && says(Finding::Passes), "{}", rule.id);
    }
    let of_exec = |step: &&Step| linux::EXEC.iter().any(|rule| rule.id == step.rule.id);
    for step in verdicts.iter().flat_map(|v| &v.trace).filter(of_exec) {
        assert!(!step.evidence.is_empty(), "{} answers without evidence", step.rule.id);
    }
}

#[test]
fn who_may_execute_a_file() {
    let owned = |mode, uid, gid| {
        let mut program = elf();
        binary(&mut program).inode =
            Fact::known(Some(Inode { gid, ..inode("/bin/server", mode, uid) }), "test");
        program
    };
    let may = |subject: Subject, program| {
        let verdict = decide(&case(NOW, subject, vec![program], 8080));
        verdict.is_allowed()
    };
    let member = || process(1000, |c| c.groups.push(7));
    let capable = || {
        let mut subject = plain();
        subject.capabilities = Fact::known(CapSet::NONE.with(CAP_DAC_OVERRIDE), "test");
        subject
    };
    assert!(may(plain(), owned(0o100, 1000, 7)));
    assert!(!may(plain(), owned(0o011, 1000, 7)), "the owner's bits come first");
    assert!(may(member(), owned(0o010, 0, 7)) && !may(plain(), owned(0o010, 0, 7)));
    assert!(!may(member(), owned(0o001, 0, 7)), "the group's bits come before the others'");
    assert!(may(process(1000, |c| c.gids = Ids::all(7)), owned(0o010, 0, 7)));
    assert!(may(process(0, |_| ()), owned(0o010, 5, 7)));
    assert!(!may(process(0, |_| ()), owned(0o644, 5, 7)), "root needs an x somewhere");
    assert!(may(capable(), owned(0o100, 0, 7)) && !may(plain(), owned(0o100, 0, 7)));
    let mut unmapped = capable();
    if let Fact::Known { value, .. } = &mut unmapped.credentials {
        value.ids = Fact::known(IdMap { uids: vec![(1000, 1000)], ..IdMap::initial() }, "test");
    }
    assert!(!may(unmapped, owned(0o100, 0, 7)));
    let mut listed = owned(0o750, 0, 7);
    let Fact::Known { value: Some(inode), .. } = &mut binary(&mut listed).inode else { panic!() };
    inode.acl = true;
    let verdict = decide(&case(NOW, plain(), vec![listed.clone()], 8080));
    assert_eq!(verdict.possible, [ACCES, OK].concat());
    assert!(verdict.missing().next().unwrap().reveal.starts_with("getfacl"));
    assert!(may(process(0, |c| c.uids = Ids::all(0)), listed), "the owner does not ask the list");
    // Without bits of the group the kernel does not look at the list either.
    let mut unlisted = owned(0o701, 0, 7);
    let Fact::Known { value: Some(inode), .. } = &mut binary(&mut unlisted).inode else { panic!() };
    inode.acl = true;
    assert!(may(plain(), unlisted));
}

#[test]
fn what_is_not_known_leaves_the_answer_open() {
    let open = |program: Program| low(plain(), program).possible;
    let mut unread = elf();
    binary(&mut unread).capabilities = unread_file();
    assert_eq!(open(unread), [PERM, ACCES, OK].concat());
    let mut unread = elf();
    binary(&mut unread).format = unread_file();
    assert_eq!(open(unread), [&[Outcome::Errno(Errno::ENOEXEC)], ACCES].concat());
    let bits = process(0, |c| c.securebits = missing_bits());
    let verdict = low(bits, elf());
    assert_eq!(verdict.possible, [ACCES, OK].concat());
    assert_eq!(verdict.missing().next().unwrap().key, FactKey::Securebits);
    assert_eq!(low(process(1000, |c| c.securebits = missing_bits()), elf()).possible, ACCES);
    let traced = process(1000, |c| c.traced = true);
    assert_eq!(low(traced.clone(), elf()).possible, ACCES, "nothing to gain");
    assert_eq!(low(traced, with_capabilities(elf(), EP)).possible, [ACCES, OK].concat());
    let unasked = Subject { credentials: Fact::not_asked(FactKey::Credentials), ..plain() };
    assert!(!low(unasked, elf()).is_allowed());
}

pub(crate) fn unread_file<T>() -> Fact<T> {
    Fact::Missing(Missing::new(FactKey::File("/bin/server".into()), "not read", ""))
}

fn missing_bits() -> Fact<u32> {
    Fact::not_asked(FactKey::Securebits)
}

/// `env` and the program it starts: two executions.
#[test]
fn one_program_after_the_other() {
    let two = |first, second| decide(&case(NOW, plain(), vec![first, second], 80)).possible;
    assert_eq!(two(elf(), with_capabilities(elf(), EP)), OK);
    assert_eq!(two(with_capabilities(elf(), EP), elf()), ACCES, "lost at the second");
    assert_eq!(two(with_mode(elf(), 0o4755, 0), elf()), OK, "root stays root");
    let mut gone = elf();
    binary(&mut gone).inode = Fact::known(None, "test");
    assert_eq!(two(elf(), gone), [Outcome::Errno(Errno::ENOENT)]);
}

#[test]
fn why_a_right_has_no_effect() {
    use exec::{Grant, Void};
    let sources = |subject: Subject, program: &Program| {
        let sources = exec::exec(&host(NOW), &subject, program).sources;
        sources.into_iter().map(|s| (s.grant, s.void)).collect::<Vec<_>>()
    };
    let nnp = || process(1000, |c| c.no_new_privs = true);
    let ep = with_capabilities(elf(), EP);
    assert_eq!(sources(plain(), &elf()), []);
    assert_eq!(sources(plain(), &ep), [(Grant::File(EP), None)]);
    assert_eq!(sources(nnp(), &ep), [(Grant::File(EP), Some(Void::NoNewPrivs))]);
    let p = with_capabilities(elf(), P);
    assert_eq!(sources(plain(), &p), [(Grant::File(P), Some(Void::NotEffective))]);
    assert_eq!(sources(process(1000, without), &p), [(Grant::File(P), Some(Void::Bounding))]);
    let ei = with_capabilities(elf(), EI);
    assert_eq!(sources(plain(), &ei), [(Grant::File(EI), Some(Void::Inheritable))]);
    let mut on_usb = ep.clone();
    let mount = Mount { nosuid: true, ..Mount::default() };
    binary(&mut on_usb).mount = Fact::known(mount, "test");
    assert_eq!(sources(plain(), &on_usb), [(Grant::File(EP), Some(Void::Nosuid))]);
    let mut scripted = script();
    scripted.files[0].capabilities = Fact::known(Some(EP), "test");
    assert_eq!(sources(plain(), &scripted), [(Grant::File(EP), Some(Void::Script))]);
    let rooted = with_mode(elf(), 0o4755, 0);
    assert_eq!(sources(plain(), &rooted), [(Grant::SetUid(0), None), (Grant::Root, None)]);
    assert_eq!(sources(nnp(), &rooted), [(Grant::SetUid(0), Some(Void::NoNewPrivs))]);
    let both = with_mode(other_file(), 0o4755, 0);
    assert_eq!(sources(plain(), &both).last(), Some(&(Grant::Root, Some(Void::FileInstead))));
    // Of who is root already the file's capabilities are not what counts.
    let root = || process(0, |_| ());
    assert_eq!(sources(root(), &other_file()).last(), Some(&(Grant::Root, None)));
    assert_eq!(low(root(), other_file()).possible, OK);
    let confined = || {
        process(0, |c| {
            c.permitted = CapSet::ALL.without(CAP_NET_BIND_SERVICE);
            c.no_new_privs = true;
        })
    };
    assert_eq!(sources(confined(), &elf()), [(Grant::Root, Some(Void::NoNewPrivs))]);
    assert_eq!(low(confined(), elf()).possible, ACCES);
    let lost = sources(process(1000, ambient), &other_file());
    assert_eq!(lost.last(), Some(&(Grant::Ambient(BIND), Some(Void::Privileged))));
    let meant = with_capabilities(elf(), FileCapabilities { rootid: 5, ..EP });
    assert_eq!(sources(plain(), &meant)[0].1, Some(Void::OtherUserNs));
    let noroot = process(0, |c| c.securebits = Fact::known(1, "test"));
    assert_eq!(sources(noroot, &elf()), [(Grant::Root, Some(Void::Noroot))]);
}

#[test]
fn a_fix_is_offered_only_where_it_helps() {
    let fixes = |subject: Subject, programs: Vec<Program>| {
        let case = case(NOW, subject, programs, 80);
        let verdict = decide(&case);
        let proven = fix::fixes(&case, &verdict, |_, _| false);
        proven.iter().map(|p| p.fix.id).collect::<Vec<_>>()
    };
    let run = "linux.this-run";
    let setcap = "linux.this-program";
    let plain_elf = fixes(plain(), vec![elf()]);
    assert!(plain_elf.contains(&run) && plain_elf.contains(&setcap));
    let nnp = process(1000, |c| c.no_new_privs = true);
    let restricted = fixes(nnp.clone(), vec![elf()]);
    assert!(restricted.contains(&run) && !restricted.contains(&setcap));
    assert!(!fixes(nnp, Vec::new()).contains(&setcap));
    let mut on_usb = elf();
    let mount = Mount { nosuid: true, ..Mount::default() };
    binary(&mut on_usb).mount = Fact::known(mount, "test");
    assert!(!fixes(plain(), vec![on_usb]).contains(&setcap));
    // Capabilities of the file drop the ambient set.
    let other = fixes(plain(), vec![other_file()]);
    assert!(!other.contains(&run) && other.contains(&setcap));
    assert!(fixes(plain(), vec![script()]).contains(&setcap), "on the interpreter");
}

/// The fixes that change how a program is started.
pub(crate) const FIXES: [&str; 4] = [
    "linux.bounding-set",
    "linux.executable",
    "linux.no-file-capabilities",
    "linux.without-no-new-privs",
];

#[test]
fn every_fix_of_a_start_helps_somewhere() {
    let fixes = |subject: Subject, program: Program, port| {
        let case = case(NOW, subject, vec![program], port);
        let proven = fix::fixes(&case, &decide(&case), |_, _| false);
        proven.iter().map(|p| p.fix.id).filter(|id| FIXES.contains(id)).collect::<Vec<_>>()
    };
    let ep = || with_capabilities(elf(), EP);
    let nnp = |c: &mut Credentials| c.no_new_privs = true;
    assert_eq!(fixes(process(1000, nnp), ep(), 80), ["linux.without-no-new-privs"]);
    assert_eq!(fixes(process(1000, nnp), elf(), 80), [""; 0]);
    assert_eq!(fixes(process(1000, without), ep(), 80), ["linux.bounding-set"]);
    assert_eq!(
        fixes(process(1000, without), ep(), 8080),
        ["linux.bounding-set", "linux.no-file-capabilities"]
    );
    assert_eq!(fixes(process(0, without), elf(), 80), ["linux.bounding-set"]);
    assert_eq!(fixes(process(1000, without), elf(), 80), [""; 0]);
    assert_eq!(fixes(plain(), with_mode(elf(), 0o600, 0), 8080), ["linux.executable"]);
    assert_eq!(fixes(plain(), with_mode(elf(), 0o600, 0), 80), [""; 0]);
    // Without a program it is the process that is to be started otherwise.
    let running = case(NOW, process(0, without), Vec::new(), 80);
    let proven = fix::fixes(&running, &decide(&running), |_, _| false);
    assert!(proven.iter().any(|p| p.fix.id == "linux.bounding-set"));
    // In secure mode the loader would not find its libraries.
    let mut beside = elf();
    beside.elsewhere.push("libx.so".into());
    let case = case(NOW, plain(), vec![beside], 80);
    let proven = fix::fixes(&case, &decide(&case), |_, _| false);
    assert!(!proven.iter().any(|p| p.fix.id == "linux.this-program"));
}

#[test]
fn secure_mode_of_the_loader() {
    let secure =
        |subject: Subject, program: &Program| exec::exec(&host(NOW), &subject, program).secure;
    let nnp = |c: &mut Credentials| c.no_new_privs = true;
    assert_eq!(secure(plain(), &elf()), Some(false));
    assert_eq!(secure(plain(), &with_capabilities(elf(), EP)), Some(true));
    assert_eq!(secure(plain(), &with_capabilities(elf(), P)), Some(true), "permitted is enough");
    assert_eq!(secure(process(0, |_| ()), &with_capabilities(elf(), EP)), Some(false), "root");
    assert_eq!(secure(process(1000, ambient), &elf()), Some(false));
    assert_eq!(secure(plain(), &with_mode(elf(), 0o4755, 0)), Some(true));
    assert_eq!(secure(process(1000, nnp), &with_mode(elf(), 0o4755, 0)), Some(false));
}

#[test]
fn a_gate_leaves_the_answer_open() {
    use linux::gate::{CGROUP_PROGRAM, LANDLOCK, SECCOMP_FILTER, SECURITY_MODULE};
    let gate = |name: &'static str| Gate {
        name: name.into(),
        what: "there is one".into(),
        reveal: "try it".into(),
        refuses: false,
    };
    let with = |name, version, protocol, port| {
        let gates = Gates { present: vec![gate(name)], unseen: Vec::new() };
        let subject = Subject { gates: Fact::known(gates, "test"), ..plain() };
        let mut case = case(version, subject, Vec::new(), port);
        case.request.socket.protocol = protocol;
        decide(&case)
    };
    for (name, errno) in [
        (SECCOMP_FILTER, Errno::EPERM),
        (LANDLOCK, Errno::EACCES),
        (SECURITY_MODULE, Errno::EACCES),
        (CGROUP_PROGRAM, Errno::EPERM),
    ] {
        let verdict = with(name, NOW, Protocol::Tcp, 8080);
        assert_eq!(verdict.possible, [Outcome::Errno(errno), Outcome::Ok], "{name}");
        assert_eq!(verdict.missing().next().unwrap().key, FactKey::Policy(name.into()));
    }
    assert_eq!(with(LANDLOCK, NOW, Protocol::Udp, 8080).possible, OK);
    assert_eq!(with(LANDLOCK, Version::new(6, 6, 0), Protocol::Tcp, 8080).possible, OK);
    assert_eq!(with(LANDLOCK, NOW, Protocol::Tcp, 80).possible, ACCES, "refused either way");
    // A program of the cgroup may also permit what the kernel would refuse.
    assert!(!with(CGROUP_PROGRAM, NOW, Protocol::Tcp, 80).is_refused());
    let refuses = Gate { refuses: true, ..gate(SECCOMP_FILTER) };
    let gates = Gates { present: vec![refuses], unseen: Vec::new() };
    let subject = Subject { gates: Fact::known(gates, "test"), ..plain() };
    let verdict = decide(&case(NOW, subject, Vec::new(), 8080));
    assert_eq!((verdict.possible.as_slice(), verdict.trace.len()), (PERM, 1));
    let unseen = Gates { present: Vec::new(), unseen: vec![gate(CGROUP_PROGRAM)] };
    let subject = Subject { gates: Fact::known(unseen, "test"), ..plain() };
    assert!(decide(&case(NOW, subject, Vec::new(), 8080)).is_allowed());
    let unasked = Subject { gates: Fact::not_asked(FactKey::Gates), ..plain() };
    let verdict = decide(&case(NOW, unasked, Vec::new(), 8080));
    assert!(verdict.missing().all(|m| m.key == FactKey::Gates) && !verdict.is_allowed());
}

#[test]
fn facts_written_before_there_were_gates_are_read() {
    let old = r#"{"uid": 1000, "user": null,
        "capabilities": {"known": {"value": 0, "from": "x"}},
        "userns": {"known": {"value": "owner", "from": "x"}}}"#;
    let subject: Subject = serde_json::from_str(old).unwrap();
    assert_eq!(subject.gates.get(), Ok(&Gates::default()));
    assert!(subject.credentials.get().is_err() && subject.programs.is_empty());
    let mut whole = plain();
    whole.programs = vec![with_capabilities(script(), EP)];
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<Subject>(&text).unwrap(), whole);
}
