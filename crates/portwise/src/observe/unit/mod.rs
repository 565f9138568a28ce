//! What the unit of a process says about sockets: systemd.unit(5), systemd.exec(5) and
//! systemd.resource-control(5), read from its files. The service manager is not asked, so this is
//! what counts from the next start on; the process may have been started before it was written.

use portwise_model::{Family, Protocol};

#[cfg(target_os = "linux")]
pub(super) use read::{of_process, read};

/// What the files of a unit say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    lines: Vec<Line>,
}

/// One setting that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub name: &'static str,
    /// What it is set to.
    pub value: String,
    /// The file that says so.
    pub file: String,
}

impl Unit {
    /// The settings of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.name == name)
    }

    /// The last one of this name that says yes.
    pub fn is_on(&self, name: &str) -> Option<&Line> {
        let yes = |line: &&Line| {
            ["1", "yes", "true", "on"].contains(&line.value.to_ascii_lowercase().as_str())
        };
        self.all(name).last().filter(yes)
    }

    /// What refuses the bind: `SocketBindDeny=`, unless `SocketBindAllow=` lets it pass.
    pub fn refuses(&self, family: Family, protocol: Protocol, port: u16) -> Option<&Line> {
        let found = |name| {
            self.all(name).find(|line| {
                line.value.split_whitespace().any(|rule| applies(rule, family, protocol, port))
            })
        };
        if found("SocketBindAllow").is_some() { None } else { found("SocketBindDeny") }
    }

    /// What keeps it from making a socket of the family: `RestrictAddressFamilies=`. All lines are
    /// one list, which the first one makes one of those allowed or, with `~`, of those that are not.
    pub fn excludes(&self, family: Family) -> Option<&Line> {
        let wanted = match family {
            Family::Inet => "AF_INET",
            Family::Inet6 => "AF_INET6",
        };
        let first = self.all("RestrictAddressFamilies").next()?;
        let is_deny = first.value.starts_with('~');
        let mut named = None;
        for line in self.all("RestrictAddressFamilies") {
            let (takes_away, list) = match line.value.strip_prefix('~') {
                Some(list) => (true, list),
                None => (false, line.value.as_str()),
            };
            if list.split_whitespace().any(|name| name == wanted) {
                named = (takes_away == is_deny).then_some(line);
            }
        }
        match (is_deny, named) {
            (true, named) => named,
            (false, Some(_)) => None,
            (false, None) => Some(first),
        }
    }
}

/// Whether a rule of `SocketBindAllow=` or `SocketBindDeny=` is about this bind:
/// `[family:][protocol:][port or first-last]`, or `any`.
fn applies(rule: &str, family: Family, protocol: Protocol, port: u16) -> bool {
    rule.split(':').all(|part| match part {
        "any" => true,
        "ipv4" => family == Family::Inet,
        "ipv6" => family == Family::Inet6,
        "tcp" => protocol == Protocol::Tcp,
        "udp" => protocol == Protocol::Udp,
        ports => {
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let number = |text: &str| text.parse::<u16>();
            matches!((number(first), number(last)), (Ok(a), Ok(b)) if (a..=b).contains(&port))
        }
    })
}

#[cfg(target_os = "linux")]
mod read;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use portwise_sys::proc::Proc;

    use super::{read::parse, *};

    const TCP: Protocol = Protocol::Tcp;
    const V4: Family = Family::Inet;

    fn unit(text: &str) -> Unit {
        let mut unit = Unit::default();
        parse(&format!("[Service]\n{text}"), "/x", &mut unit.lines);
        unit
    }

    #[test]
    fn rules_of_socket_bind() {
        for (rule, applies_to) in [
            ("any", true),
            ("80", true),
            ("tcp:80", true),
            ("ipv4:tcp:1-100", true),
            ("ipv4", true),
            ("udp", false),
            ("ipv6:80", false),
            ("81-90", false),
            ("nonsense", false),
        ] {
            assert_eq!(applies(rule, V4, TCP, 80), applies_to, "{rule}");
        }
        let deny = unit("SocketBindDeny=any\nSocketBindAllow=tcp:8080");
        assert_eq!(deny.refuses(V4, TCP, 80).map(|line| line.value.as_str()), Some("any"));
        assert_eq!(deny.refuses(V4, TCP, 8080), None);
        assert_eq!(deny.refuses(V4, Protocol::Udp, 8080).map(|l| l.name), Some("SocketBindDeny"));
        assert_eq!(unit("SocketBindDeny=any\nSocketBindDeny=").refuses(V4, TCP, 80), None);
    }

    #[test]
    fn families_that_are_left() {
        let left = |text: &str| {
            let unit = unit(text);
            [V4, Family::Inet6].map(|family| unit.excludes(family).is_none())
        };
        assert_eq!(left(""), [true, true]);
        assert_eq!(left("RestrictAddressFamilies=AF_UNIX AF_INET"), [true, false]);
        assert_eq!(
            left("RestrictAddressFamilies=AF_UNIX\nRestrictAddressFamilies=AF_INET6"),
            [false, true]
        );
        assert_eq!(left("RestrictAddressFamilies=~AF_INET6"), [true, false]);
        assert_eq!(left("RestrictAddressFamilies=none"), [false, false]);
        assert_eq!(
            left("RestrictAddressFamilies=AF_INET AF_INET6\nRestrictAddressFamilies=~AF_INET6"),
            [true, false]
        );
    }

    #[test]
    fn what_is_no_setting_of_the_service() {
        let text =
            "# SocketBindDeny=any\n[Unit]\nPrivateNetwork=yes\n[Service]\nPrivateNetwork=no\n";
        assert_eq!(unit(text).is_on("PrivateNetwork"), None);
        let both = unit("PrivateNetwork=yes\nIPAddressDeny=10.0.0.0/8 \\\n  192.0.2.0/24");
        assert!(both.is_on("PrivateNetwork").is_some());
        assert_eq!(both.all("IPAddressDeny").count(), 1);
    }

    #[test]
    fn files_and_drop_ins() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, format!("[Service]\n{text}\n")).unwrap();
        };
        let proc = Proc::new(root.path());
        assert_eq!(read(&proc, "web@1.service"), None);
        write("usr/lib/systemd/system/web@.service", "SocketBindDeny=any");
        write("usr/lib/systemd/system/web@.service.d/10-a.conf", "SocketBindAllow=80");
        write("etc/systemd/system/web@1.service.d/10-a.conf", "SocketBindAllow=443");
        write("etc/systemd/system/service.d/20-all.conf", "PrivateNetwork=yes");
        let found = read(&proc, "web@1.service").unwrap();
        let said: Vec<String> =
            found.lines.iter().map(|l| format!("{}={} {}", l.name, l.value, l.file)).collect();
        assert_eq!(
            said,
            [
                "SocketBindDeny=any /usr/lib/systemd/system/web@.service",
                "SocketBindAllow=443 /etc/systemd/system/web@1.service.d/10-a.conf",
                "PrivateNetwork=yes /etc/systemd/system/service.d/20-all.conf",
            ]
        );
        write("etc/systemd/system/web@.service", "SocketBindDeny=udp");
        assert_eq!(read(&proc, "web@1.service").unwrap().lines[0].value, "udp");
    }
}
