//! The credentials of the new program: `cap_bprm_creds_from_file` of `security/commoncap.c`, after
//! `bprm_fill_uid` of `fs/exec.c`.

use alloc::vec::Vec;

use super::{
    super::{EXEC_COMPARES_EFFECTIVE_IDS, EXEC_MEASURED, cite, fixes},
    grant::{Grant, Source, Void},
};
use crate::{
    CapSet, Credentials, Errno, Evidence, Executable, Fact, FactKey, Feature, FileCapabilities,
    Format, Host, Ids, Inode, Missing, Outcome, Program, Rule, Subject, Text, UserNs,
};

/// A program that knows nothing of capabilities shall have all of them or not start.
pub static FILE_CAPABILITIES: Rule = Rule {
    id: "linux.exec.file-capabilities",
    title: "a file's effective capabilities are all in the bounding set",
    fault: "the bounding set lacks one of the file's effective capabilities",
    outcome: Outcome::Errno(Errno::EPERM),
    cites: &[cite("security/commoncap.c", "bprm_caps_from_vfs_caps", "cap_bset")],
    basis: EXEC_MEASURED,
    page: include_str!("../../../pages/linux.exec.file-capabilities.md"),
    stops: |v| {
        let Some(file) = v.program().binary() else { return Ok(false) };
        let credentials = v.credentials()?;
        let Some(capabilities) = counting(file, credentials)? else {
            let none = FileCapabilities::default();
            v.note(|| Evidence::FileCapabilities(file.path.clone(), none));
            return Ok(false);
        };
        let stops = capabilities.effective
            && !capabilities.permitted.is_within(given(&capabilities, credentials));
        v.note(|| Evidence::FileCapabilities(file.path.clone(), capabilities));
        if stops {
            v.note(|| Evidence::Bounding(credentials.bounding));
        }
        Ok(stops)
    },
    fixes: &[&fixes::BOUNDING_SET, &fixes::NO_FILE_CAPABILITIES],
};

/// What an execution comes to.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The process afterwards.
    pub subject: Subject,
    /// What gave it rights, or would have.
    pub sources: Vec<Source>,
    /// Whether the loader starts the program in secure mode (`AT_SECURE`); `None` if that cannot
    /// be told.
    pub secure: Option<bool>,
}

/// Returns `subject` as it is after executing `program`, if that succeeds. What cannot be told is
/// missing in it.
pub fn exec(host: &Host, subject: &Subject, program: &Program) -> Executed {
    let mut sources = Vec::new();
    match credentials_after(host, subject, program, &mut sources) {
        Ok(after) => {
            let secure = Some(after.secure);
            let subject = subject_after(subject, program, after);
            Executed { subject, sources, secure }
        }
        Err(missing) => {
            let mut subject = subject.clone();
            subject.programs = Vec::new();
            subject.capabilities = Fact::Missing(missing.clone());
            subject.credentials = Fact::Missing(missing);
            Executed { subject, sources, secure: None }
        }
    }
}

struct After {
    credentials: Credentials,
    effective: CapSet,
    secure: bool,
}

fn subject_after(subject: &Subject, program: &Program, after: After) -> Subject {
    let from = alloc::format!("after execve of {}", program.name);
    let uid = after.credentials.uids.filesystem;
    let same_user = uid == subject.uid;
    let userns = match subject.userns.value() {
        // Whether the new user made the namespace of the network was not asked.
        Some(UserNs::Creator | UserNs::Ancestor) if !same_user => {
            Fact::Missing(Missing::new(FactKey::UserNs, "the program changes the user", "try it"))
        }
        _ => subject.userns.clone(),
    };
    Subject {
        uid,
        user: if same_user { subject.user.clone() } else { None },
        capabilities: Fact::known(after.effective, from.clone()),
        userns,
        credentials: Fact::known(after.credentials, from),
        gates: subject.gates.clone(),
        programs: Vec::new(),
    }
}

fn credentials_after(
    host: &Host,
    subject: &Subject,
    program: &Program,
    sources: &mut Vec<Source>,
) -> Result<After, Missing> {
    let old = subject.credentials.get()?;
    for script in program.files.iter().filter(|f| f.format.value() == Some(&Format::Script)) {
        script_grants(script, sources);
    }
    let Some(file) = program.binary() else {
        return Err(Missing::new(FactKey::File(program.name.clone()), "no binary is known", ""));
    };
    let (euid, egid) = set_ids(file, old, sources)?;
    let file_capabilities = counting(file, old)?;
    let mut permitted = file_capabilities.map_or(CapSet::NONE, |f| given(&f, old));
    let mut effective = file_capabilities.is_some_and(|f| f.effective);
    let root = Root::of(old, euid)?;
    if let Some(capabilities) = file.capabilities.get()? {
        let source = Source {
            path: file.path.clone(),
            grant: Grant::File(*capabilities),
            void: void_of_file(file, capabilities, file_capabilities.is_some(), old)?,
        };
        sources.push(source);
    }
    let is_set_uid_root = root.effective && !root.real;
    let instead = file_capabilities.is_some() && is_set_uid_root;
    if root.any() && !instead && root.privileged {
        permitted = old.bounding.or(old.inheritable);
        effective |= root.effective;
    }
    let id_changed = id_changed(host, old, euid, egid)?;
    let gained = !permitted.is_within(old.permitted);
    let mut ids = (euid, egid);
    if (id_changed || gained) && old.traced && !old.no_new_privs {
        return Err(Missing::new(
            FactKey::Credentials,
            "the process is traced, and whether its tracer may let it gain is not known",
            "try it",
        ));
    }
    if (id_changed || gained) && old.no_new_privs {
        ids = (old.uids.real, old.gids.real);
        permitted = permitted.and(old.permitted);
    }
    if root.any() {
        let void = match () {
            () if instead => Some(Void::FileInstead),
            () if !root.privileged => Some(Void::Noroot),
            () if gained && old.no_new_privs => Some(Void::NoNewPrivs),
            () => None,
        };
        sources.push(Source { path: file.path.clone(), grant: Grant::Root, void });
    }
    let drops_ambient = file_capabilities.is_some() || id_changed;
    if !old.ambient.is_empty() {
        let void = drops_ambient.then_some(Void::Privileged);
        let grant = Grant::Ambient(old.ambient);
        sources.push(Source { path: file.path.clone(), grant, void });
    }
    let ambient = if drops_ambient { CapSet::NONE } else { old.ambient };
    let permitted = permitted.or(ambient);
    let grew = !permitted.is_within(ambient);
    let secure = id_changed || !root.real && (effective || grew);
    let effective = if effective { permitted } else { ambient };
    let all = |real, id| Ids { real, effective: id, saved: id, filesystem: id };
    let credentials = Credentials {
        uids: all(old.uids.real, ids.0),
        gids: all(old.gids.real, ids.1),
        groups: old.groups.clone(),
        permitted,
        inheritable: old.inheritable,
        bounding: old.bounding,
        ambient,
        no_new_privs: old.no_new_privs,
        traced: old.traced,
        securebits: match &old.securebits {
            Fact::Known { value, from } => {
                Fact::known(value & !Credentials::SECBIT_KEEP_CAPS, from.clone())
            }
            missing => missing.clone(),
        },
        ids: old.ids.clone(),
    };
    Ok(After { credentials, effective, secure })
}

/// How the process and root of its user namespace go together.
struct Root {
    real: bool,
    effective: bool,
    /// Whether being root gives capabilities.
    privileged: bool,
}

impl Root {
    fn of(old: &Credentials, euid: u32) -> Result<Root, Missing> {
        let own = old.ids.get()?.root;
        let (real, effective) = (own == Some(old.uids.real), own == Some(euid));
        let privileged =
            (real || effective) && old.securebits.get()? & Credentials::SECBIT_NOROOT == 0;
        Ok(Root { real, effective, privileged })
    }

    fn any(&self) -> bool {
        self.real || self.effective
    }
}

/// What the capabilities of a file give within the bounding set.
fn given(file: &FileCapabilities, old: &Credentials) -> CapSet {
    old.bounding.and(file.permitted).or(old.inheritable.and(file.inheritable))
}

/// The capabilities of a file, if they count for this process.
fn counting(file: &Executable, old: &Credentials) -> Result<Option<FileCapabilities>, Missing> {
    let Some(capabilities) = *file.capabilities.get()? else { return Ok(None) };
    let counts = !file.mount.get()?.nosuid && is_meant(&capabilities, old)?;
    Ok(counts.then_some(capabilities))
}

fn is_meant(capabilities: &FileCapabilities, old: &Credentials) -> Result<bool, Missing> {
    Ok(capabilities.rootid == 0 || old.ids.get()?.is_root(capabilities.rootid))
}

/// The effective ids that set-id bits give.
fn set_ids(
    file: &Executable,
    old: &Credentials,
    sources: &mut Vec<Source>,
) -> Result<(u32, u32), Missing> {
    let (mut euid, mut egid) = (old.uids.effective, old.gids.effective);
    let Some(inode) = file.inode.get()? else { return Ok((euid, egid)) };
    let (sets_uid, sets_gid) = set_id_bits(inode);
    if !sets_uid && !sets_gid {
        return Ok((euid, egid));
    }
    let void = match () {
        () if file.mount.get()?.nosuid => Some(Void::Nosuid),
        () if old.no_new_privs => Some(Void::NoNewPrivs),
        () if !old.ids.get()?.maps(inode.uid, inode.gid) => Some(Void::OtherUserNs),
        () => None,
    };
    let mut source = |grant| sources.push(Source { path: file.path.clone(), grant, void });
    if sets_uid {
        source(Grant::SetUid(inode.uid));
    }
    if sets_gid {
        source(Grant::SetGid(inode.gid));
    }
    if void.is_none() {
        euid = if sets_uid { inode.uid } else { euid };
        egid = if sets_gid { inode.gid } else { egid };
    }
    Ok((euid, egid))
}

fn set_id_bits(inode: &Inode) -> (bool, bool) {
    const SET_GID: u16 = Inode::SET_GID | 0o010;
    (inode.mode & Inode::SET_UID != 0, inode.mode & SET_GID == SET_GID)
}

/// Whether the kernel takes the execution for a change of user or group.
fn id_changed(host: &Host, old: &Credentials, euid: u32, egid: u32) -> Result<bool, Missing> {
    let by_real = euid != old.uids.real || egid != old.gids.real;
    let by_effective = euid != old.uids.effective || !old.in_group(egid);
    if by_real == by_effective {
        return Ok(by_real);
    }
    let feature: &'static Feature = &EXEC_COMPARES_EFFECTIVE_IDS;
    match host.has(feature) {
        Some(true) => Ok(by_effective),
        Some(false) => Ok(by_real),
        None => Err(Missing::new(
            FactKey::Feature(Text::Borrowed(feature.id)),
            "the sources of this version were not read",
            "try it on that version",
        )),
    }
}

/// Rights that a script file has in vain.
fn script_grants(script: &Executable, sources: &mut Vec<Source>) {
    let void = Some(Void::Script);
    let mut add = |grant| sources.push(Source { path: script.path.clone(), grant, void });
    if let Some(Some(capabilities)) = script.capabilities.value() {
        add(Grant::File(*capabilities));
    }
    if let Some(Some(inode)) = script.inode.value() {
        let (sets_uid, sets_gid) = set_id_bits(inode);
        if sets_uid {
            add(Grant::SetUid(inode.uid));
        }
        if sets_gid {
            add(Grant::SetGid(inode.gid));
        }
    }
}

/// Why the capabilities of a file have no effect, if they have none.
fn void_of_file(
    file: &Executable,
    capabilities: &FileCapabilities,
    counts: bool,
    old: &Credentials,
) -> Result<Option<Void>, Missing> {
    let given = given(capabilities, old);
    Ok(match () {
        () if file.mount.get()?.nosuid => Some(Void::Nosuid),
        () if !counts => Some(Void::OtherUserNs),
        () if old.no_new_privs && !given.is_within(old.permitted) => Some(Void::NoNewPrivs),
        () if given.is_empty() && capabilities.permitted.is_empty() => Some(Void::Inheritable),
        () if given.is_empty() => Some(Void::Bounding),
        () if !capabilities.effective => Some(Void::NotEffective),
        () => None,
    })
}
