//! passwd(5) and group(5): the local users and groups. Directory services (NSS) are not asked.

use crate::Error;
use crate::proc::Proc;

/// A local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login name. Untrusted text.
    pub name: String,
    /// The user's id.
    pub uid: u32,
    /// The id of the user's first group.
    pub gid: u32,
}

/// A local group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name. Untrusted text.
    pub name: String,
    /// The group's id.
    pub gid: u32,
    /// Names of the users for whom it is supplementary.
    pub members: Vec<String>,
}

impl Proc {
    /// Lists the users in `/etc/passwd`.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn users(&self) -> Result<Vec<User>, Error> {
        Ok(parse_passwd(&self.read("etc/passwd")?))
    }

    /// Lists the groups in `/etc/group`.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn groups(&self) -> Result<Vec<Group>, Error> {
        Ok(parse_group(&self.read("etc/group")?))
    }

    /// Returns the first name with this uid; `None` if it is not in `/etc/passwd`.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn user_name(&self, uid: u32) -> Result<Option<String>, Error> {
        Ok(self.users()?.into_iter().find(|user| user.uid == uid).map(|user| user.name))
    }
}

/// Reads the text of a passwd file; lines it cannot read are left out.
pub fn parse_passwd(bytes: &[u8]) -> Vec<User> {
    let user = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        Some(User {
            name: fields.first()?.to_string(),
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
        })
    };
    String::from_utf8_lossy(bytes).lines().filter_map(user).collect()
}

/// Reads the text of a group file; lines it cannot read are left out.
pub fn parse_group(bytes: &[u8]) -> Vec<Group> {
    let group = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let members = fields.get(3)?.split(',').filter(|name| !name.is_empty());
        Some(Group {
            name: fields.first()?.to_string(),
            gid: fields.get(2)?.parse().ok()?,
            members: members.map(str::to_owned).collect(),
        })
    };
    String::from_utf8_lossy(bytes).lines().filter_map(group).collect()
}
