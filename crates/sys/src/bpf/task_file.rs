//! A walk over the open files of all processes within the kernel (`bpf_iter_task_file`), which
//! returns the sockets among them.

use super::layout::{Type, Types, layouts, unexpected};
use super::program::{Program, R0, R1, R2, R3, R6, R7, R8, R9, R10, Reg, Size};
use super::tables;
use crate::Error;

/// Which sockets to return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those with this local port.
    pub port: Option<u16>,
    /// Only those of the network namespace with this inode.
    pub netns: Option<u32>,
    /// Only those that listen or are not connected.
    pub unconnected: bool,
    /// Also every Unix socket that has received something nobody has read, see
    /// [`OpenSocket::is_unix`].
    pub unix: bool,
}

/// A descriptor of a socket of IPv4 or IPv6 that has a local port, or of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSocket {
    /// The process, as the initial pid namespace numbers it.
    pub pid: u32,
    /// The descriptor's number there.
    pub fd: u32,
    /// When the process started, in nanoseconds after boot.
    pub start: u64,
    /// The inode of the socket.
    pub inode: u64,
    /// Its cookie; 0 if nobody has asked for it yet, as listing it does.
    pub cookie: u64,
    /// The inode of its network namespace.
    pub netns: u32,
    /// The same for all sockets of a `SO_REUSEPORT` group, 0 for a socket without.
    pub group: u64,
    /// `SO_REUSEADDR`.
    pub reuseaddr: bool,
    /// `SO_REUSEPORT`.
    pub reuseport: bool,
    /// `IPV6_V6ONLY`.
    pub v6only: bool,
    /// A Unix socket, in whose queue descriptors may wait.
    pub is_unix: bool,
}

/// The length of a record, and where in it the number of the descriptor is.
pub(super) const RECORD: usize = 48;
pub(super) const FD: i16 = 36;

/// A walk that is ready to be made.
pub struct Walk {
    filter: Filter,
    /// `None` where only the kernel's own walk can be made.
    tables: Option<tables::Walk>,
}

impl Walk {
    /// Makes it ready: that is most of the time that it takes on a small machine.
    ///
    /// `expected` is about how many sockets there are: with many more the walk is made twice.
    ///
    /// # Errors
    /// Those of [`sockets`].
    pub fn new(filter: &Filter, expected: usize) -> Result<Walk, Error> {
        match tables::Walk::new(filter, expected) {
            Ok(walk) => Ok(Walk { filter: *filter, tables: Some(walk) }),
            // Whether it can be made shows when it is made.
            Err(_) => layouts().map(|_| Walk { filter: *filter, tables: None }),
        }
    }

    /// Makes it: does something with every descriptor of a socket that any process has. By now it
    /// may be better known how many are `expected`.
    ///
    /// # Errors
    /// Those of [`sockets`].
    pub fn run(self, expected: usize, mut take: impl FnMut(OpenSocket)) -> Result<(), Error> {
        let Some(tables) = self.tables else { return by_file(&self.filter, take) };
        let mut taken = 0;
        let done = tables.with_room_for(expected)?.run(|socket| {
            taken += 1;
            take(socket);
        });
        // What it could not do at all the kernel's own walk may do.
        if done.is_err() && taken == 0 { by_file(&self.filter, take) } else { done }
    }
}

/// Returns every descriptor of a socket that any process has, whatever its namespaces.
///
/// `expected` is about how many there are: with many more the walk is made twice.
///
/// Takes some milliseconds, and 0.2 µs for each open file of the machine. Needs Linux ≥ 5.11 (from
/// 6.4 on it is faster) with BTF, and `CAP_BPF` with `CAP_PERFMON`, or `CAP_SYS_ADMIN`, in the
/// initial user namespace. Only processes of the caller's pid namespace are seen.
///
/// # Errors
/// `ENOENT` without BTF; `EPERM`; `EOPNOTSUPP` if the structures of this kernel are not those
/// expected; `EINVAL`, `EACCES` if it does not accept the program.
pub fn sockets(filter: &Filter, expected: usize) -> Result<Vec<OpenSocket>, Error> {
    let mut found = Vec::new();
    Walk::new(filter, expected)?.run(expected, |socket| found.push(socket))?;
    Ok(found)
}

/// The same, by the kernel's own walk over files, which older kernels have too.
fn by_file(filter: &Filter, mut take: impl FnMut(OpenSocket)) -> Result<(), Error> {
    let layout = layouts()?.task_file.as_ref().map_err(Clone::clone)?;
    let written = layout.program(filter).run(layout.iterator)?;
    let (records, _) = written.as_chunks::<RECORD>();
    records.iter().for_each(|record| take(layout.record(record)));
    Ok(())
}

/// Where the kernel keeps what is asked for.
pub(super) struct Layout {
    iterator: u32,
    tgid: i16,
    group_leader: i16,
    start_boottime: i16,
    inode: i16,
    number: i16,
    sk: i16,
    family: i16,
    state: i16,
    port: i16,
    net: i16,
    net_inode: i16,
    cookie: i16,
    group: i16,
    queued: i16,
    flags: i16,
    reuse: (u32, u32),
    reuseport: u32,
    v6only: u32,
}

impl Layout {
    pub(super) fn read(types: &Types<'_>) -> Result<Layout, Error> {
        use Type::{File, Inode, Net, Sock, Socket, Task};
        let at = |of, path: &[&str], size| types.offset(of, path, size);
        let bits = |name| types.bit_field(Sock, &["__sk_common", name]);
        let (reuse, reuseport, v6only) =
            (bits("skc_reuse")?, bits("skc_reuseport")?, bits("skc_ipv6only")?);
        if reuseport.0 != reuse.0 || v6only.0 != reuse.0 {
            return Err(unexpected("skc_reuse"));
        }
        Ok(Layout {
            iterator: types.id(Type::IterTaskFile)?,
            tgid: at(Task, &["tgid"], 4)?,
            group_leader: at(Task, &["group_leader"], 8)?,
            start_boottime: at(Task, &["start_boottime"], 8)?,
            inode: at(File, &["f_inode"], 8)?,
            number: at(Inode, &["i_ino"], 8)?,
            sk: at(Socket, &["sk"], 8)?,
            family: at(Sock, &["__sk_common", "skc_family"], 2)?,
            state: at(Sock, &["__sk_common", "skc_state"], 1)?,
            port: at(Sock, &["__sk_common", "skc_num"], 2)?,
            net: at(Sock, &["__sk_common", "skc_net", "net"], 8)?,
            net_inode: at(Net, &["ns", "inum"], 4)?,
            cookie: at(Sock, &["__sk_common", "skc_cookie", "counter"], 8)?,
            group: at(Sock, &["sk_reuseport_cb"], 8)?,
            queued: at(Sock, &["sk_receive_queue", "qlen"], 4)?,
            flags: reuse.0,
            reuse: (reuse.1, reuse.2),
            reuseport: reuseport.1,
            v6only: v6only.1,
        })
    }

    /// The program; it runs once for each open file.
    fn program(&self, filter: &Filter) -> Program {
        use Size::{Double, Word};
        const SOCK_FROM_FILE: i32 = 162;
        const SEQ_WRITE: i32 = 127;
        const PLACE: i16 = -(RECORD as i16);
        let mut p = Program::default();
        // The context: meta, task, fd and file.
        p.load(Double, R6, R1, 0);
        p.load(Double, R7, R1, 8);
        p.load(Double, R8, R1, 24);
        p.load(Word, R9, R1, 16);
        p.end_if_zero(R8);
        p.end_if_zero(R7);
        p.store(Word, R10, PLACE + FD, R9);
        p.copy(R1, R8);
        p.call(SOCK_FROM_FILE);
        p.end_if_zero(R0);
        self.filter(&mut p, filter);
        self.store(&mut p, R10, PLACE);
        p.load(Double, R1, R6, 0);
        p.set_place(R2, PLACE);
        p.set(R3, RECORD as i32);
        p.call(SEQ_WRITE);
        p
    }

    /// Ends the program unless the socket in R0 is wanted, and leaves its `struct sock` in R9.
    pub(super) fn filter(&self, p: &mut Program, filter: &Filter) {
        use Size::{Byte, Double, Half, Word};
        const LISTEN: u32 = 10;
        const CLOSE: u32 = 7;
        p.load(Double, R9, R0, self.sk);
        p.end_if_zero(R9);
        p.load(Half, R1, R9, self.family);
        let to_unix = filter.unix.then(|| p.skip_if(R1, libc::AF_UNIX as u32));
        p.end_unless_either(R1, libc::AF_INET as u32, libc::AF_INET6 as u32);
        p.load(Half, R1, R9, self.port);
        match filter.port {
            Some(port) => p.end_unless(R1, port.into()),
            None => p.end_if_zero(R1),
        }
        if filter.unconnected {
            p.load(Byte, R1, R9, self.state);
            p.end_unless_either(R1, LISTEN, CLOSE);
        }
        if let Some(netns) = filter.netns {
            p.load(Double, R1, R9, self.net);
            p.load(Word, R1, R1, self.net_inode);
            p.end_unless(R1, netns);
        }
        if let Some(to_unix) = to_unix {
            let found = p.skip();
            p.land(to_unix);
            p.load(Word, R1, R9, self.queued);
            p.end_if_zero(R1);
            p.land(found);
        }
    }

    /// Stores the record of a descriptor, but for its number: of the task in R7, the file in R8 and
    /// the `struct sock` in R9, at `base` and `offset`.
    pub(super) fn store(&self, p: &mut Program, base: Reg, offset: i16) {
        use Size::{Byte, Double, Half, Word};
        p.load(Half, R1, R9, self.family);
        p.store(Half, base, offset + 46, R1);
        p.load(Double, R1, R9, self.net);
        p.load(Word, R1, R1, self.net_inode);
        p.store(Word, base, offset + 40, R1);
        p.load(Double, R1, R9, self.cookie);
        p.store(Double, base, offset, R1);
        p.load(Double, R1, R8, self.inode);
        p.load(Double, R1, R1, self.number);
        p.store(Double, base, offset + 8, R1);
        p.load(Double, R1, R7, self.group_leader);
        p.load(Double, R1, R1, self.start_boottime);
        p.store(Double, base, offset + 16, R1);
        p.load(Double, R1, R9, self.group);
        p.store(Double, base, offset + 24, R1);
        p.load(Word, R1, R7, self.tgid);
        p.store(Word, base, offset + 32, R1);
        p.load(Byte, R1, R9, self.flags);
        p.store(Half, base, offset + 44, R1);
    }

    pub(super) fn record(&self, bytes: &[u8; RECORD]) -> OpenSocket {
        let (doubles, _) = bytes.as_chunks::<8>();
        let (words, _) = bytes.as_chunks::<4>();
        let (halves, _) = bytes.as_chunks::<2>();
        let double = |at: usize| u64::from_ne_bytes(doubles[at / 8]);
        let word = |at: usize| u32::from_ne_bytes(words[at / 4]);
        let half = |at: usize| u16::from_ne_bytes(halves[at / 2]);
        let flags = u32::from(half(44));
        OpenSocket {
            cookie: double(0),
            inode: double(8),
            start: double(16),
            group: double(24),
            pid: word(32),
            fd: word(FD as usize),
            netns: word(40),
            reuseaddr: flags >> self.reuse.0 & self.reuse.1 != 0,
            reuseport: flags >> self.reuseport & 1 != 0,
            v6only: flags >> self.v6only & 1 != 0,
            is_unix: i32::from(half(46)) == libc::AF_UNIX,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn both_walks_find_the_same() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let copies = [(); 100].map(|()| listener.try_clone().unwrap());
        let port = listener.local_addr().unwrap().port();
        for unconnected in [false, true] {
            let filter = Filter { port: Some(port), unconnected, ..Filter::default() };
            let own = |found: Result<Vec<OpenSocket>, Error>| match found {
                Ok(mut found) => {
                    found.retain(|socket| socket.pid == std::process::id());
                    found.sort_by_key(|socket| socket.fd);
                    Some(found)
                }
                Err(error) => {
                    crate::not_run!("{error}");
                    None
                }
            };
            let all = |walk: &dyn Fn(&mut Vec<OpenSocket>) -> Result<(), Error>| {
                let mut found = Vec::new();
                walk(&mut found).map(|()| found)
            };
            let of_kernel = all(&|found| by_file(&filter, |socket| found.push(socket)));
            let Some(of_kernel) = own(of_kernel) else { return };
            assert_eq!(of_kernel.len(), copies.len() + 1);
            for (room, share) in [(10, false), (10, true), (1000, false), (1000, true)] {
                let by_table = all(&|found| {
                    let walk = tables::Walk::with_room(&filter, room, share)?;
                    walk.run(|socket| found.push(socket))
                });
                let Some(by_table) = own(by_table) else { return };
                assert_eq!(by_table, of_kernel, "room {room}, shared {share}");
            }
        }
    }
}
