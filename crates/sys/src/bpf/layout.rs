//! Where the running kernel keeps what the programs look at, read once for all of them.

use std::sync::OnceLock;

use super::{kernel, tables, task_file, tasks};
use crate::btf::{Btf, Found, Kind, Member, Vmlinux};
use crate::{Errno, Error};

/// A type that is looked for, by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    IterTaskFile,
    IterTask,
    IterTcp,
    IterUdp,
    IterMeta,
    Task,
    File,
    Inode,
    Socket,
    Sock,
    TcpSock,
    UdpSock,
    Net,
    NsProxy,
    Files,
    FileTable,
    IterNumNew,
    IterNumNext,
    IterNumDestroy,
    RdonlyCast,
}

const TYPES: [(&str, Kind); 20] = [
    ("bpf_iter_task_file", Kind::FUNC),
    ("bpf_iter_task", Kind::FUNC),
    ("bpf_iter_tcp", Kind::FUNC),
    ("bpf_iter_udp", Kind::FUNC),
    ("bpf_iter_meta", Kind::STRUCT),
    ("task_struct", Kind::STRUCT),
    ("file", Kind::STRUCT),
    ("inode", Kind::STRUCT),
    ("socket", Kind::STRUCT),
    ("sock", Kind::STRUCT),
    ("tcp_sock", Kind::STRUCT),
    ("udp_sock", Kind::STRUCT),
    ("net", Kind::STRUCT),
    ("nsproxy", Kind::STRUCT),
    ("files_struct", Kind::STRUCT),
    ("fdtable", Kind::STRUCT),
    ("bpf_iter_num_new", Kind::FUNC),
    ("bpf_iter_num_next", Kind::FUNC),
    ("bpf_iter_num_destroy", Kind::FUNC),
    ("bpf_rdonly_cast", Kind::FUNC),
];

/// What each program has to know, or why that is not there.
pub(super) struct Layouts {
    pub task_file: Result<task_file::Layout, Error>,
    pub tables: Result<tables::Layout, Error>,
    pub tasks: Result<tasks::Layout, Error>,
    pub kernel: Result<kernel::Layout, Error>,
}

/// Those of the running kernel.
pub(super) fn layouts() -> Result<&'static Layouts, Error> {
    static LAYOUTS: OnceLock<Result<Layouts, Error>> = OnceLock::new();
    let read = || {
        let vmlinux = Vmlinux::open()?;
        let types = Types(Btf::parse(&vmlinux)?.find(&TYPES)?);
        Ok(Layouts {
            task_file: task_file::Layout::read(&types),
            tables: tables::Layout::read(&types),
            tasks: tasks::Layout::read(&types),
            kernel: kernel::Layout::read(&types),
        })
    };
    LAYOUTS.get_or_init(read).as_ref().map_err(Clone::clone)
}

/// The types of the kernel.
pub(super) struct Types<'a>(Found<'a>);

impl Types<'_> {
    /// The number of a type or function.
    pub(super) fn id(&self, of: Type) -> Result<u32, Error> {
        let name = TYPES[of as usize].0;
        self.0.id(of as usize).ok_or_else(|| unexpected(name))
    }

    /// The offset of a member that has this size in bytes, small enough for an instruction.
    pub(super) fn offset(&self, of: Type, path: &[&str], size: u32) -> Result<i16, Error> {
        let name = path.last().copied().unwrap_or_default();
        let fits = |m: &Member| m.size == Some(size) && m.bits.is_none() && m.bit.is_multiple_of(8);
        let member = self.0.member(of as usize, path).filter(fits);
        short(member.ok_or_else(|| unexpected(name))?, name)
    }

    /// The byte that a bit field is in, how far its lowest bit is from that of the byte, and a mask
    /// of as many bits as it has.
    pub(super) fn bit_field(&self, of: Type, path: &[&str]) -> Result<(i16, u32, u32), Error> {
        let name = path.last().copied().unwrap_or_default();
        let member = self.0.member(of as usize, path);
        let field = member.and_then(|member| Some((member, member.bits?)));
        let (member, count) = field.ok_or_else(|| unexpected(name))?;
        let low = member.bit % 8;
        let shift = match cfg!(target_endian = "little") {
            true => Some(low),
            false => 8u32.checked_sub(low + count),
        };
        let shift = shift.filter(|_| low + count <= 8).ok_or_else(|| unexpected(name))?;
        Ok((short(member, name)?, shift, (1 << count) - 1))
    }

    /// Makes sure that a structure begins with this member.
    pub(super) fn begins_with(&self, of: Type, path: &[&str]) -> Result<(), Error> {
        let member = self.0.member(of as usize, path).filter(|member| member.bit == 0);
        member.map(drop).ok_or_else(|| unexpected(TYPES[of as usize].0))
    }
}

fn short(member: Member, name: &str) -> Result<i16, Error> {
    i16::try_from(member.byte()).map_err(|_| unexpected(name))
}

/// The error that says that the kernel has no such thing where it is expected.
pub(super) fn unexpected(what: &str) -> Error {
    Error::about("btf", Errno::EOPNOTSUPP, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_place() {
        let places = [
            (Type::IterTaskFile, "bpf_iter_task_file"),
            (Type::IterTask, "bpf_iter_task"),
            (Type::IterTcp, "bpf_iter_tcp"),
            (Type::IterUdp, "bpf_iter_udp"),
            (Type::IterMeta, "bpf_iter_meta"),
            (Type::Task, "task_struct"),
            (Type::File, "file"),
            (Type::Inode, "inode"),
            (Type::Socket, "socket"),
            (Type::Sock, "sock"),
            (Type::TcpSock, "tcp_sock"),
            (Type::UdpSock, "udp_sock"),
            (Type::Net, "net"),
            (Type::NsProxy, "nsproxy"),
            (Type::Files, "files_struct"),
            (Type::FileTable, "fdtable"),
            (Type::IterNumNew, "bpf_iter_num_new"),
            (Type::IterNumNext, "bpf_iter_num_next"),
            (Type::IterNumDestroy, "bpf_iter_num_destroy"),
            (Type::RdonlyCast, "bpf_rdonly_cast"),
        ];
        assert_eq!(places.map(|(place, _)| TYPES[place as usize].0), places.map(|(_, name)| name));
    }
}
