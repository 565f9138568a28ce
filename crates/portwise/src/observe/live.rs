//! The running machine, observed fact by fact.

use crate::{Setting, Trouble};

/// The setting of this machine, network namespace and user.
///
/// # Errors
/// If not even the kernel's version and the user's own credentials can be read.
#[cfg(not(target_os = "linux"))]
pub fn setting() -> Result<Setting, Trouble> {
    Err(Trouble::new(
        "the running system cannot be observed yet, only Linux can; such as --on macos-15",
    ))
}

#[cfg(target_os = "linux")]
pub use linux::setting;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;

    use portwise_model::{Fact, FactKey, Host, Missing, Socket, Subject};
    use portwise_sys::{Error, proc::Proc, rtnetlink::RtNetlink, sockdiag::SockDiag};

    use super::{Setting, Trouble};
    use crate::observe::{Holders, Observer, holders, host, sockets, subject};

    /// The setting of this machine, network namespace and user.
    ///
    /// # Errors
    /// If not even the kernel's version and the user's own credentials can be read.
    pub fn setting() -> Result<Setting, Trouble> {
        let proc = Proc::default();
        let kernel = host::kernel(&proc).map_err(Trouble::new)?;
        let me = proc.thread_status();
        let me = me.map_err(|e| Trouble::new(format!("cannot read my own credentials: {e}")))?;
        let asker = subject::of(&me);
        let is_root = me.uids.effective == 0;
        let machine = Machine { proc, is_root, rtnetlink: None, sockdiag: None, users: None };
        let mut setting = Setting::new(Host::not_asked(kernel), asker, Box::new(machine));
        setting.gid = Some(me.gids.effective);
        setting.is_self = true;
        setting.runner = Some(me.uids.effective);
        Ok(setting)
    }

    /// The running machine. Each kernel interface is opened when it is first needed.
    struct Machine {
        proc: Proc,
        is_root: bool,
        rtnetlink: Option<RtNetlink>,
        sockdiag: Option<SockDiag>,
        users: Option<BTreeMap<u32, String>>,
    }

    impl Machine {
        fn rtnetlink(&mut self) -> Result<&mut RtNetlink, Error> {
            opened(&mut self.rtnetlink, RtNetlink::open)
        }

        fn sockdiag(&mut self) -> Result<&mut SockDiag, Error> {
            opened(&mut self.sockdiag, SockDiag::open)
        }
    }

    fn opened<T>(
        slot: &mut Option<T>,
        open: impl FnOnce() -> Result<T, Error>,
    ) -> Result<&mut T, Error> {
        if slot.is_none() {
            *slot = Some(open()?);
        }
        Ok(slot.as_mut().expect("it was opened just now"))
    }

    impl Observer for Machine {
        fn observe(
            &mut self,
            key: &FactKey,
            host: &mut Host,
            subject: &mut Subject,
        ) -> Result<(), Missing> {
            match key {
                FactKey::Interfaces => {
                    let read = self.rtnetlink().and_then(host::interfaces);
                    put(&mut host.interfaces, key, read, "rtnetlink")
                }
                FactKey::LocalRoutes => {
                    let read = self.rtnetlink().and_then(host::local_routes);
                    put(&mut host.local_routes, key, read, "rtnetlink")
                }
                FactKey::Sysctl(name) => host::sysctl(&self.proc, name, host),
                FactKey::LocalPorts => {
                    let read = host::local_ports(&self.proc);
                    put(&mut host.local_ports, key, read, "/proc/sys")
                }
                FactKey::Sockets(port) => {
                    let version = host.kernel.version;
                    let read = self.sockdiag().and_then(|diag| sockets::on(diag, *port));
                    sockets::put(&mut host.sockets, *port, read, version)
                }
                FactKey::AllSockets => {
                    let version = host.kernel.version;
                    let read = self.sockdiag().and_then(sockets::all);
                    sockets::put_all(&mut host.sockets, read, version)
                }
                FactKey::SocketOptions(id) => {
                    sockets::options(&self.proc, &mut host.sockets, *id, self.is_root)
                }
                FactKey::BindBucket(port) => {
                    // What the owners allow may make it irrelevant.
                    let unread = |s: &&Socket| s.options.reuseaddr.is_none();
                    let owners = host.sockets.on(*port).unwrap_or_default();
                    if let Some(id) = owners.iter().find(unread).map(|s| s.id) {
                        let _ = sockets::options(&self.proc, &mut host.sockets, id, self.is_root);
                    }
                    let missing = Missing::new(
                        key.clone(),
                        "no interface of the kernel shows what it remembers about sharing a port",
                        "try it",
                    );
                    host.buckets = Fact::Missing(missing.clone());
                    Err(missing)
                }
                FactKey::UserNs => subject::user_namespace(subject),
                FactKey::Capabilities
                | FactKey::LocalAddress(_)
                | FactKey::Feature(_)
                | FactKey::Policies
                | FactKey::Policy(_) => {
                    Err(Missing::new(key.clone(), "there is no way to observe it", ""))
                }
            }
        }

        fn holders(&mut self, sockets: &[Socket]) -> Holders {
            holders::of(&self.proc, sockets, |uid| user(&mut self.users, uid))
        }

        fn user(&mut self, uid: u32) -> Option<String> {
            user(&mut self.users, uid)
        }
    }

    fn user(known: &mut Option<BTreeMap<u32, String>>, uid: u32) -> Option<String> {
        let users = known.get_or_insert_with(|| {
            let mut users = BTreeMap::new();
            for (name, uid, _) in crate::observe::user::here().users {
                users.entry(uid).or_insert(name);
            }
            users
        });
        users.get(&uid).cloned()
    }

    /// Puts what was read into its place, or why it was not.
    fn put<T>(
        slot: &mut Fact<T>,
        key: &FactKey,
        read: Result<T, Error>,
        from: &'static str,
    ) -> Result<(), Missing> {
        match read {
            Ok(value) => {
                *slot = Fact::known(value, from);
                Ok(())
            }
            Err(error) => {
                let missing = host::unread(key, &error);
                *slot = Fact::Missing(missing.clone());
                Err(missing)
            }
        }
    }
}
