//! Corners of `execve` that the tables of `linux_exec` leave out.

use portwise_model::{
    CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CapSet, Case,
    Credentials, Evidence, Executable, Fact, FactKey, FileCapabilities, FileKind, Finding, Format,
    IdMap, Inode, Mount, Outcome, Program, Subject, decide, fix,
    linux::exec::{self, Grant, Void},
};

use super::known;
use crate::linux_exec::{
    ACCES, BIND, EP, NOW, OK, P, ambient, case, elf, file, host, inode, low, plain, process,
    program, script, unread_file, with_capabilities, with_mode, without,
};

fn after(subject: &Subject, program: &Program) -> Credentials {
    exec::exec(&host(NOW), subject, program).subject.credentials.get().unwrap().clone()
}

fn sources(subject: &Subject, program: &Program) -> Vec<(Grant, Option<Void>)> {
    let sources = exec::exec(&host(NOW), subject, program).sources;
    sources.into_iter().map(|s| (s.grant, s.void)).collect()
}

#[test]
fn securebits() {
    let bits = |bits| process(0, move |c| c.securebits = known(bits));
    for (before, left) in [(0, 0), (0b1_0000, 0), (0b1_0001, 1), (0b10_1110, 0b10_1110)] {
        assert_eq!(after(&bits(before), &elf()).securebits, known(left), "{before:b}");
    }
    // NOROOT takes root its privilege; that it may not be changed does not.
    assert_eq!(low(bits(0b01), elf()).possible, ACCES);
    assert_eq!(low(bits(0b10), elf()).possible, OK);
    assert_eq!(low(bits(0b11), elf()).possible, ACCES);
}

/// Under `no_new_privs` there is nothing that a tracer could be in the way of.
#[test]
fn a_tracer_and_no_new_privs() {
    let traced =
        |no_new_privs| process(1000, move |c| (c.traced, c.no_new_privs) = (true, no_new_privs));
    let gaining = || with_capabilities(elf(), EP);
    assert_eq!(low(traced(false), gaining()).possible, [ACCES, OK].concat());
    assert_eq!(low(traced(true), gaining()).possible, ACCES);
    let set_uid = || with_mode(elf(), 0o4755, 0);
    assert_eq!(low(traced(false), set_uid()).possible, [ACCES, OK].concat());
    assert_eq!(low(traced(true), set_uid()).possible, ACCES);
    // What one has already is no gain.
    let has = |traced| {
        process(1000, move |c| {
            ambient(c);
            c.traced = traced;
            c.no_new_privs = true;
        })
    };
    assert_eq!(sources(&has(false), &gaining())[0], (Grant::File(EP), None));
    assert_eq!(low(has(true), gaining()).possible, OK);
}

/// The bits and capabilities of a script are those of a file that is only read.
#[test]
fn what_a_script_has_in_vain() {
    let with = |mode, capabilities| {
        let mut scripted = script();
        let bits = Inode { gid: 7, ..inode("/srv/script", mode, 0) };
        scripted.files[0].inode = known(Some(bits));
        scripted.files[0].capabilities = known(capabilities);
        (sources(&plain(), &scripted), low(plain(), scripted).possible)
    };
    let void = Some(Void::Script);
    assert_eq!(with(0o4755, None), (vec![(Grant::SetUid(0), void)], ACCES.to_vec()));
    assert_eq!(with(0o2755, None), (vec![(Grant::SetGid(7), void)], ACCES.to_vec()));
    assert_eq!(with(0o2745, None), (vec![], ACCES.to_vec()));
    let all = vec![(Grant::File(EP), void), (Grant::SetUid(0), void), (Grant::SetGid(7), void)];
    assert_eq!(with(0o6755, Some(EP)), (all, ACCES.to_vec()));
}

#[test]
fn both_set_id_bits() {
    let mut both = with_mode(elf(), 0o6755, 0);
    let bits = Inode { gid: 7, ..inode("/bin/server", 0o6755, 1001) };
    both.files[0].inode = known(Some(bits));
    let ids = after(&plain(), &both);
    assert_eq!((ids.uids.effective, ids.gids.effective), (1001, 7));
    assert_eq!((ids.uids.real, ids.gids.real), (1000, 1000));
    assert_eq!(sources(&plain(), &both), [(Grant::SetUid(1001), None), (Grant::SetGid(7), None)]);
    both.files[0].mount = known(Mount { nosuid: true, ..Mount::default() });
    assert_eq!(after(&plain(), &both).uids.effective, 1000);
    let void = Some(Void::Nosuid);
    assert_eq!(sources(&plain(), &both), [(Grant::SetUid(1001), void), (Grant::SetGid(7), void)]);
}

#[test]
fn capabilities_that_one_has_or_lacks() {
    let given = |program: &Program, change: fn(&mut Credentials)| {
        sources(&process(1000, change), program)[0].1
    };
    let (ep, p) = (with_capabilities(elf(), EP), with_capabilities(elf(), P));
    let unbound: fn(&mut Credentials) = |c| c.bounding = c.bounding.without(CAP_NET_BIND_SERVICE);
    assert_eq!(given(&ep, |c| c.no_new_privs = true), Some(Void::NoNewPrivs));
    assert_eq!(given(&p, unbound), Some(Void::Bounding));
    assert_eq!((given(&p, |_| ()), given(&ep, |_| ())), (Some(Void::NotEffective), None));
    // Ids and sets of the process itself stay as they are.
    let before = process(1000, |c| (c.inheritable, c.groups) = (BIND, vec![4]));
    let after = after(&before, &elf());
    assert_eq!((after.inheritable, after.groups), (BIND, vec![4]));
    assert_eq!((after.bounding, after.permitted), (CapSet::ALL, CapSet::NONE));
}

/// Directories yield to either capability, files to one, and only where somebody may execute them.
#[test]
fn capabilities_over_files_and_directories() {
    let closed_directory = |mode| {
        let mut program = elf();
        program.files[0].directories[0].mode = mode;
        program
    };
    let able = |capability| {
        let mut subject = plain();
        subject.capabilities = known(CapSet::NONE.with(capability));
        subject
    };
    let may = |subject, program| decide(&case(NOW, subject, vec![program], 8080)).possible == OK;
    for mode in [0o700, 0o000] {
        assert!(!may(plain(), closed_directory(mode)), "{mode:o}");
        assert!(may(able(CAP_DAC_OVERRIDE), closed_directory(mode)), "{mode:o}");
        assert!(may(able(CAP_DAC_READ_SEARCH), closed_directory(mode)), "{mode:o}");
        assert!(!may(able(CAP_NET_BIND_SERVICE), closed_directory(mode)), "{mode:o}");
    }
    let closed_file = |mode| with_mode(elf(), mode, 0);
    for (mode, overridden) in [(0o700, true), (0o010, true), (0o001, true), (0o600, false)] {
        assert_eq!(may(able(CAP_DAC_OVERRIDE), closed_file(mode)), overridden, "{mode:o}");
        let searching = may(able(CAP_DAC_READ_SEARCH), closed_file(mode));
        assert_eq!(searching, mode == 0o001, "{mode:o}");
    }
}

fn evidence(program: Program, rule: &str) -> Vec<Evidence> {
    let mut trace = low(plain(), program).trace.into_iter();
    let step = trace.find(|step| step.rule.id == format!("linux.exec.{rule}")).unwrap();
    assert_eq!(step.finding, Finding::Passes, "{rule}");
    step.evidence
}

#[test]
fn what_passes_shows_what_was_looked_at() {
    let chain = || program(vec![file("/srv/script", Format::Script), file("/bin/sh", Format::Elf)]);
    let mounts = evidence(chain(), "noexec");
    let at = |path: &'static str| Evidence::Mount(path.into(), Mount::default());
    assert_eq!(mounts, [at("/srv/script"), at("/bin/sh")]);
    let files = evidence(chain(), "permission");
    let at = |path: &str| Evidence::Inode(inode(path, 0o755, 0));
    assert_eq!(files, [at("/srv/script"), at("/bin/sh")]);
    let root = Inode { kind: FileKind::Directory, ..inode("/", 0o755, 0) };
    assert_eq!(evidence(chain(), "directories"), vec![Evidence::Inode(root); 2]);
    // Of the files only those up to the one that is in the way.
    let mut stopped = chain();
    stopped.files.insert(1, file("/bin/data", Format::Unknown));
    assert_eq!(evidence(stopped, "permission"), [at("/srv/script"), at("/bin/data")]);
}

#[test]
fn the_first_file_that_is_not_known_is_the_one_to_look_at() {
    let unread = |path: &'static str| {
        let why = portwise_model::Missing::new(FactKey::File(path.into()), "not read", "");
        Executable { inode: Fact::Missing(why), ..file(path, Format::Script) }
    };
    let both = program(vec![unread("/srv/one"), unread("/srv/two"), file("/bin/sh", Format::Elf)]);
    let verdict = low(plain(), both);
    assert!(verdict.missing().count() > 1);
    for missing in verdict.missing() {
        assert_eq!(missing.key, FactKey::File("/srv/one".into()));
    }
    // A file that nobody read may be in the way, and what surely is in the way comes behind it.
    let mut blocked = program(vec![unread("/srv/one"), file("/bin/data", Format::Unknown)]);
    let verdict = low(plain(), blocked.clone());
    assert!(verdict.is_refused(), "{:?}", verdict.possible);
    let first: Vec<Outcome> = verdict.possible.clone();
    blocked.files.swap(0, 1);
    assert_ne!(first, low(plain(), blocked).possible, "nobody gets past the first");
    let mut format = elf();
    format.files[0].format = unread_file();
    assert!(!low(plain(), format).is_allowed());
}

/// Set-id bits of an owner or group that the user namespace does not know are passed over.
#[test]
fn owners_that_the_namespace_does_not_know() {
    let confined = process(1000, |c| {
        let ids = IdMap { uids: vec![(1000, 1001)], gids: vec![(1000, 1001)], ..IdMap::initial() };
        c.ids = known(ids);
    });
    let owned = |uid, gid| {
        let mut both = with_mode(elf(), 0o6755, uid);
        both.files[0].inode = known(Some(Inode { gid, ..inode("/bin/server", 0o6755, uid) }));
        both
    };
    for (uid, gid, effective) in
        [(1001, 1001, (1001, 1001)), (0, 1001, (1000, 1000)), (1001, 0, (1000, 1000))]
    {
        let ids = after(&confined, &owned(uid, gid));
        assert_eq!((ids.uids.effective, ids.gids.effective), effective, "{uid} {gid}");
    }
    let void = Some(Void::OtherUserNs);
    let found = sources(&confined, &owned(0, 1001));
    assert_eq!(found, [(Grant::SetUid(0), void), (Grant::SetGid(1001), void)]);
}

/// A binary without a loader has its libraries built in; of a script, its interpreter counts.
#[test]
fn binaries_with_their_libraries_built_in() {
    assert_eq!((elf().is_static(), script().is_static()), (Some(true), Some(true)));
    let loaded = Program { loader: Some(file("/lib/ld.so", Format::Elf)), ..elf() };
    assert_eq!(loaded.is_static(), Some(false));
    assert_eq!(program(vec![file("/bin/data", Format::Unknown)]).is_static(), None);
    assert_eq!(program(Vec::new()).is_static(), None);
}

/// What a fix leaves of the program that makes the call.
fn fixed(program: Program, port: u16, id: &str) -> Option<Case> {
    let case = case(NOW, plain(), vec![program], port);
    let proven = fix::fixes(&case, &decide(&case), |_, _| false);
    proven.into_iter().find(|p| p.fix.id == format!("linux.{id}")).map(|p| p.case)
}

#[test]
fn setcap_keeps_what_the_file_has_and_counts_in_every_namespace() {
    let raw = CapSet::NONE.with(CAP_NET_RAW);
    let held = FileCapabilities { permitted: raw, inheritable: raw, effective: false, rootid: 5 };
    let case = fixed(with_capabilities(elf(), held), 80, "this-program").unwrap();
    let file = case.subject.programs[0].binary().unwrap();
    let permitted = raw.with(CAP_NET_BIND_SERVICE);
    let expected = FileCapabilities { permitted, inheritable: raw, effective: true, rootid: 0 };
    assert_eq!(file.capabilities, Fact::known(Some(expected), "the fix"));
}

#[test]
fn chmod_lets_everybody_execute_every_file() {
    let mut scripted = script();
    for (file, mode) in scripted.files.iter_mut().zip([0o640, 0o755]) {
        file.inode = known(Some(inode(&file.path, mode, 0)));
    }
    let case = fixed(scripted.clone(), 8080, "executable").unwrap();
    let modes: Vec<u16> = case.subject.programs[0]
        .files
        .iter()
        .map(|file| file.inode.value().unwrap().as_ref().unwrap().mode)
        .collect();
    assert_eq!(modes, [0o755, 0o755]);
    // Some x is not enough if it is not everybody's.
    scripted.files[0].inode = known(Some(inode("/srv/script", 0o744, 0)));
    assert!(fixed(scripted.clone(), 8080, "executable").is_some());
    scripted.files[0].inode = known(Some(inode("/srv/script", 0o755, 0)));
    assert!(fixed(scripted, 8080, "executable").is_none());
}

/// Where everybody may execute the file already, chmod is no answer to a list that nobody read.
#[test]
fn chmod_that_changes_nothing_is_not_offered() {
    let listed = |mode| {
        let mut listed = with_mode(elf(), mode, 0);
        let bits = Inode { acl: true, ..inode("/bin/server", mode, 0) };
        listed.files[0].inode = known(Some(bits));
        let asked = case(NOW, plain(), vec![listed], 8080);
        let found = fix::fixes(&asked, &decide(&asked), |case, _| {
            let file = &mut case.subject.programs[0].files[0];
            let Fact::Known { value: Some(inode), .. } = &mut file.inode else { return false };
            inode.acl = false;
            true
        });
        found.iter().map(|p| p.fix.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(0o755), [""; 0]);
    assert_eq!(listed(0o754), ["linux.executable"]);
}

/// A wider bounding set is a right for root alone; others need something that gives it.
#[test]
fn a_wider_bounding_set_helps_root() {
    let offered = |uid| {
        let mut subject = process(uid, without);
        let capabilities = subject.credentials.value().unwrap().permitted;
        subject.capabilities = known(capabilities);
        let asked = case(NOW, subject, Vec::new(), 80);
        let found = fix::fixes(&asked, &decide(&asked), |_, _| false);
        found.iter().any(|p| p.fix.id == "linux.bounding-set")
    };
    assert!(offered(0) && !offered(1000));
}
