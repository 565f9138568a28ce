//! A walk over all processes within the kernel (`bpf_iter_task`), which returns the network
//! namespace of each.

use super::layout::{Type, Types, layouts};
use super::program::{Program, R0, R1, R2, R3, R6, R7, R10, Size};
use crate::Error;

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InNetwork {
    /// The process, as the initial pid namespace numbers it.
    pub pid: u32,
    /// The inode of its network namespace.
    pub netns: u32,
}

const RECORD: usize = 8;

/// Returns the network namespace of every process of the caller's pid namespace, by pid. Takes a
/// millisecond, and 0.2 µs for each thread. Needs what [`super::task_file::sockets`] needs.
///
/// # Errors
/// Those of [`super::task_file::sockets`].
pub fn network_namespaces() -> Result<Vec<InNetwork>, Error> {
    let layout = layouts()?.tasks.as_ref().map_err(Clone::clone)?;
    let written = layout.program().run(layout.iterator)?;
    let (records, _) = written.as_chunks::<RECORD>();
    let record = |bytes: &[u8; RECORD]| {
        let (words, _) = bytes.as_chunks::<4>();
        InNetwork { pid: u32::from_ne_bytes(words[0]), netns: u32::from_ne_bytes(words[1]) }
    };
    Ok(records.iter().map(record).collect())
}

/// Where the kernel keeps what is asked for.
pub(super) struct Layout {
    iterator: u32,
    /// A function that has the kernel read what it does not vouch for, see [`super::tables`], and the
    /// number of the type.
    cast: Option<(u32, u32)>,
    tgid: i16,
    pid: i16,
    nsproxy: i16,
    net: i16,
    inode: i16,
}

impl Layout {
    pub(super) fn read(types: &Types<'_>) -> Result<Layout, Error> {
        Ok(Layout {
            iterator: types.id(Type::IterTask)?,
            cast: types.id(Type::RdonlyCast).ok().zip(types.id(Type::Task).ok()),
            tgid: types.offset(Type::Task, &["tgid"], 4)?,
            pid: types.offset(Type::Task, &["pid"], 4)?,
            nsproxy: types.offset(Type::Task, &["nsproxy"], 8)?,
            net: types.offset(Type::NsProxy, &["net_ns"], 8)?,
            inode: types.offset(Type::Net, &["ns", "inum"], 4)?,
        })
    }

    /// The program; it runs once for each thread.
    fn program(&self) -> Program {
        use Size::{Double, Word};
        const SEQ_WRITE: i32 = 127;
        let mut p = Program::default();
        // The context: meta and task.
        p.load(Double, R6, R1, 0);
        p.load(Double, R7, R1, 8);
        p.end_if_zero(R7);
        if let Some((function, task)) = self.cast {
            p.copy(R1, R7);
            p.set(R2, task.cast_signed());
            p.call_function(function);
            p.copy(R7, R0);
        }
        // A process that ends has none any more.
        p.load(Double, R0, R7, self.nsproxy);
        p.end_if_zero(R0);
        p.load(Double, R1, R0, self.net);
        p.end_if_zero(R1);
        p.load(Word, R1, R1, self.inode);
        p.store(Word, R10, -4, R1);
        // Of a process its first thread only.
        p.load(Word, R1, R7, self.tgid);
        p.load(Word, R2, R7, self.pid);
        p.end_unless_equal(R1, R2);
        p.store(Word, R10, -8, R1);
        p.load(Double, R1, R6, 0);
        p.copy(R2, R10);
        p.add(R2, -8);
        p.set(R3, RECORD as i32);
        p.call(SEQ_WRITE);
        p
    }
}
