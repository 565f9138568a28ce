//! Users by name and number, as `/etc/passwd` and `/etc/group` have them: directory services may
//! ask the network.

/// The users and groups of a machine.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Login name, user id and primary group, if known, of each user.
    pub users: Vec<(String, u32, Option<u32>)>,
    /// Name and id of each group.
    pub groups: Vec<(String, u32)>,
    /// The groups that users are in beside their primary one, by login name.
    pub members: Vec<(String, u32)>,
}

/// Reads those of this machine; none on systems that keep them elsewhere.
#[cfg(target_os = "linux")]
pub fn here() -> Directory {
    let proc = portwise_sys::proc::Proc::default();
    let (users, groups) = (proc.users().unwrap_or_default(), proc.groups().unwrap_or_default());
    Directory {
        users: users.into_iter().map(|user| (user.name, user.uid, Some(user.gid))).collect(),
        members: groups.iter().flat_map(members).collect(),
        groups: groups.into_iter().map(|group| (group.name, group.gid)).collect(),
    }
}

#[cfg(target_os = "linux")]
fn members(group: &portwise_sys::passwd::Group) -> impl Iterator<Item = (String, u32)> {
    group.members.iter().map(|user| (user.clone(), group.gid))
}

/// Reads those of this machine; none on systems that keep them elsewhere.
#[cfg(not(target_os = "linux"))]
pub fn here() -> Directory {
    Directory::default()
}

/// Whether this program runs as root; false where that cannot be read.
pub fn is_root() -> bool {
    #[cfg(target_os = "linux")]
    let root = portwise_sys::proc::Proc::default()
        .status(std::process::id())
        .is_ok_and(|status| status.uids.effective == 0);
    #[cfg(not(target_os = "linux"))]
    let root = false;
    root
}

/// The user and group that `--as USER|UID[:GROUP]` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// User id.
    pub uid: u32,
    /// Login name, if it is known.
    pub name: Option<String>,
    /// The group given, or the primary group, if it is known.
    pub gid: Option<u32>,
    /// The other groups, as far as they are known.
    pub groups: Vec<u32>,
}

/// Reads `USER|UID[:GROUP]`.
pub fn named(text: &str, known: &Directory) -> Result<Named, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let number = user.parse::<u32>().ok();
    let found = known.users.iter().find(|(name, uid, _)| match number {
        Some(number) => *uid == number,
        None => name == user,
    });
    let Some(uid) = number.or(found.map(|(_, uid, _)| *uid)) else {
        return Err(format!("no user `{user}` is known there, such as --as 1000"));
    };
    let gid = match group {
        Some(group) => Some(group_id(group, known)?),
        None => found.and_then(|(_, _, gid)| *gid),
    };
    let name = found.map(|(name, ..)| name.clone());
    let is_member = |(user, _): &&(String, u32)| Some(user) == name.as_ref();
    let groups = known.members.iter().filter(is_member).map(|(_, gid)| *gid).collect();
    Ok(Named { uid, name, gid, groups })
}

fn group_id(group: &str, known: &Directory) -> Result<u32, String> {
    let found = known.groups.iter().find(|(name, _)| name == group).map(|(_, gid)| *gid);
    group
        .parse()
        .ok()
        .or(found)
        .ok_or_else(|| format!("no group `{group}` is known there, such as --as 1000:1000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let known = Directory {
            users: vec![("root".into(), 0, Some(0)), ("alice".into(), 1000, Some(100))],
            groups: vec![("users".into(), 100), ("staff".into(), 20)],
            members: vec![("root".into(), 4), ("alice".into(), 20)],
        };
        let name = Some("alice".into());
        let alice = Named { uid: 1000, name, gid: Some(100), groups: vec![20] };
        assert_eq!(named("alice", &known), Ok(alice.clone()));
        assert_eq!(named("1000", &known), Ok(alice));
        let other = Named { uid: 501, name: None, gid: Some(20), groups: Vec::new() };
        assert_eq!(named("501:20", &known), Ok(other.clone()));
        assert_eq!(named("501:staff", &known), Ok(other));
        for wrong in ["bob", "", "-1", "501:nobody", "99999999999", ":", "alice:"] {
            assert!(named(wrong, &known).is_err(), "{wrong}");
        }
    }
}
