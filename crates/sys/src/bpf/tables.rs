//! A walk over the processes within the kernel (`bpf_iter_task`) that looks through the table of open
//! files of each itself. The kernel's own walk over files ([`super::task_file`]) takes a lock and a
//! reference for each file; this one only reads, which is several times as fast.

use std::thread;

use super::layout::{Type, Types, layouts};
use super::map::Array;
use super::program::{Linked, Program, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Size};
use super::task_file::{self, Filter, OpenSocket, RECORD};
use crate::{Error, proc::processors};

/// What is before the records: the operations of a socket's file, once one was seen, how many
/// records there are, and the number of the first walk, if two share the processes.
const OPERATIONS: i16 = 0;
const COUNT: i16 = 8;
const FIRST_WALK: i16 = 16;
const HEADER: usize = 24;

/// How many entries of a table are read at once.
const AT_ONCE: i16 = 32;

// Where things are on the stack.
const ITERATOR: i16 = -8;
const INDEX: i16 = -16;
const FILES: i16 = -24;
const FILE: i16 = -32;
const AGAIN: i16 = -40;
const ENTRIES: i16 = -40 - 8 * AT_ONCE;
const PLACE: i16 = ENTRIES - RECORD as i16;

/// A walk that is ready to be made.
pub(super) struct Walk {
    filter: Filter,
    array: Array,
    room: usize,
    linked: Linked,
    is_shared: bool,
}

impl Walk {
    /// Makes it ready. `expected` is how many sockets there may be: with many more it walks twice.
    /// Needs Linux ≥ 6.4.
    ///
    /// # Errors
    /// Those of [`task_file::sockets`].
    pub(super) fn new(filter: &Filter, expected: usize) -> Result<Walk, Error> {
        // Some have several descriptors.
        Walk::with_room(filter, 1024 + expected + expected / 4, true)
    }

    /// The same, with room for so many at first.
    pub(super) fn with_room(filter: &Filter, room: usize, share: bool) -> Result<Walk, Error> {
        let layouts = layouts()?;
        let socket = layouts.task_file.as_ref().map_err(Clone::clone)?;
        let layout = layouts.tables.as_ref().map_err(Clone::clone)?;
        let array = Array::new(HEADER + room * RECORD)?;
        let is_shared = share && processors() > 1;
        let program = layout.program(socket, filter, &array, room, is_shared);
        let linked = program.linked(layout.iterator)?;
        Ok(Walk { filter: *filter, array, room, linked, is_shared })
    }

    /// The same walk with room for so many, if it has not.
    ///
    /// # Errors
    /// Those of [`task_file::sockets`].
    pub(super) fn with_room_for(self, expected: usize) -> Result<Walk, Error> {
        if expected <= self.room { Ok(self) } else { Walk::new(&self.filter, expected) }
    }

    /// Makes it, and does something with each socket it finds.
    ///
    /// # Errors
    /// Those of [`task_file::sockets`].
    pub(super) fn run(mut self, mut take: impl FnMut(OpenSocket)) -> Result<(), Error> {
        let socket = layouts()?.task_file.as_ref().map_err(Clone::clone)?;
        loop {
            self.walk()?;
            let bytes = self.array.bytes();
            let count = bytes.get(COUNT as usize..HEADER).and_then(<[u8]>::first_chunk);
            let count = count.map_or(0, |bytes| u64::from_ne_bytes(*bytes) as usize);
            if count <= self.room {
                let (records, _) = bytes[HEADER..].as_chunks::<RECORD>();
                records.iter().take(count).for_each(|record| take(socket.record(record)));
                return Ok(());
            }
            self = Walk::with_room(&self.filter, 2 * count, self.is_shared)?;
        }
    }

    /// Where there are two processors two walks are made at once, each through half of the
    /// processes.
    fn walk(&self) -> Result<(), Error> {
        if !self.is_shared {
            return self.linked.run();
        }
        let linked = &self.linked;
        thread::scope(|scope| {
            let other = scope.spawn(|| linked.run());
            let done = linked.run();
            done.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

/// Where the kernel keeps tables of open files, and the numbers of its functions.
pub(super) struct Layout {
    iterator: u32,
    num_new: u32,
    num_next: u32,
    num_destroy: u32,
    rdonly_cast: u32,
    task: u32,
    file: u32,
    socket: u32,
    tgid: i16,
    pid: i16,
    group_leader: i16,
    files: i16,
    table: i16,
    most: i16,
    entries: i16,
    walk: i16,
    operations: i16,
    data: i16,
    inode: i16,
    mode: i16,
    back: i16,
}

impl Layout {
    pub(super) fn read(types: &Types<'_>) -> Result<Layout, Error> {
        use Type::{File, FileTable, Files, Inode, IterMeta, Socket, Task};
        let at = |of, name: &str, size| types.offset(of, &[name], size);
        Ok(Layout {
            iterator: types.id(Type::IterTask)?,
            num_new: types.id(Type::IterNumNew)?,
            num_next: types.id(Type::IterNumNext)?,
            num_destroy: types.id(Type::IterNumDestroy)?,
            rdonly_cast: types.id(Type::RdonlyCast)?,
            task: types.id(Task)?,
            file: types.id(File)?,
            socket: types.id(Socket)?,
            tgid: at(Task, "tgid", 4)?,
            pid: at(Task, "pid", 4)?,
            group_leader: at(Task, "group_leader", 8)?,
            files: at(Task, "files", 8)?,
            table: at(Files, "fdt", 8)?,
            most: at(FileTable, "max_fds", 4)?,
            entries: at(FileTable, "fd", 8)?,
            walk: at(IterMeta, "session_id", 8)?,
            operations: at(File, "f_op", 8)?,
            data: at(File, "private_data", 8)?,
            inode: at(File, "f_inode", 8)?,
            mode: at(Inode, "i_mode", 2)?,
            back: at(Socket, "file", 8)?,
        })
    }

    /// The program; it runs once for each thread, and writes into the array.
    fn program(
        &self,
        socket: &task_file::Layout,
        filter: &Filter,
        array: &Array,
        room: usize,
        is_shared: bool,
    ) -> Program {
        use Size::{Double, Half, Word};
        const PROBE_READ_KERNEL: i32 = 113;
        const TYPE_OF_FILE: u32 = libc::S_IFMT;
        let mut p = Program::default();
        // The context: meta and task.
        p.load(Double, R6, R1, 0);
        p.load(Double, R1, R1, 8);
        p.end_if_zero(R1);
        // To load the program, the kernel searches all its types by name for each pointer that is
        // read from a task it vouches for, half a millisecond each; so it is not to vouch for it.
        p.set(R2, self.task.cast_signed());
        p.call_function(self.rdonly_cast);
        p.copy(R7, R0);
        if is_shared {
            self.leave_to_other(&mut p, array);
        }
        p.load(Double, R3, R7, self.files);
        p.end_if_zero(R3);
        p.store(Double, R10, FILES, R3);
        // A thread has the table of its process, or rarely one of its own.
        p.load(Word, R1, R7, self.tgid);
        p.load(Word, R2, R7, self.pid);
        let leads = p.skip_if_same(R1, R2);
        p.load(Double, R4, R7, self.group_leader);
        p.load(Double, R4, R4, self.files);
        p.end_if_same(R3, R4);
        p.land(leads);
        p.load(Double, R4, R3, self.table);
        p.load(Double, R6, R4, self.entries);
        p.load(Word, R3, R4, self.most);
        p.set(R1, 0);
        for entry in 0..AT_ONCE {
            p.store(Double, R10, ENTRIES + 8 * entry, R1);
        }
        p.set_place(R1, ITERATOR);
        p.set(R2, 0);
        p.call_function(self.num_new);

        let next = p.here();
        let ends = p.ends();
        p.set_place(R1, ITERATOR);
        p.call_function(self.num_next);
        let done = p.skip_if_zero(R0);
        p.load(Word, R8, R0, 0);
        p.store(Double, R10, INDEX, R8);
        p.copy(R1, R8);
        p.and(R1, AT_ONCE as u32 - 1);
        let is_there = p.skip_unless(R1, 0);
        p.copy(R3, R8);
        p.shift_left(R3, 3);
        p.add_register(R3, R6);
        p.set_place(R1, ENTRIES);
        p.set(R2, 8 * i32::from(AT_ONCE));
        p.call(PROBE_READ_KERNEL);
        p.land(is_there);
        p.and(R8, AT_ONCE as u32 - 1);
        p.shift_left(R8, 3);
        p.copy(R2, R10);
        p.add_register(R2, R8);
        p.load(Double, R1, R2, ENTRIES);
        p.end_if_zero(R1);
        p.store(Double, R10, FILE, R1);
        p.set(R2, self.file.cast_signed());
        p.call_function(self.rdonly_cast);
        p.copy(R8, R0);

        // Files are told by their operations. Those of a socket are known once the first one was
        // seen: its inode says that it is one, and it leads back to its file.
        p.load(Double, R1, R8, self.operations);
        p.set_value_of(R2, array.number());
        p.load(Double, R3, R2, OPERATIONS);
        let known = p.skip_if_same(R1, R3);
        p.end_unless_zero(R3);
        p.load(Double, R1, R8, self.inode);
        p.load(Half, R1, R1, self.mode);
        p.and(R1, TYPE_OF_FILE);
        p.end_unless(R1, libc::S_IFSOCK);
        p.load(Double, R1, R8, self.data);
        p.end_if_zero(R1);
        p.set(R2, self.socket.cast_signed());
        p.call_function(self.rdonly_cast);
        p.load(Double, R1, R0, self.back);
        p.load(Double, R2, R10, FILE);
        p.end_unless_same(R1, R2);
        p.load(Double, R1, R8, self.operations);
        p.set_value_of(R2, array.number());
        p.store(Double, R2, OPERATIONS, R1);
        p.land(known);

        p.load(Double, R1, R8, self.data);
        p.set(R2, self.socket.cast_signed());
        p.call_function(self.rdonly_cast);
        socket.filter(&mut p, filter);
        socket.store(&mut p, R10, PLACE);
        p.load(Double, R1, R10, INDEX);
        p.store(Word, R10, PLACE + task_file::FD, R1);
        // It counts if it is still the file with that number of that process: what was read then
        // was that of no other.
        p.load(Double, R3, R10, INDEX);
        p.shift_left(R3, 3);
        p.add_register(R3, R6);
        p.set_place(R1, AGAIN);
        p.set(R2, 8);
        p.call(PROBE_READ_KERNEL);
        p.load(Double, R1, R10, AGAIN);
        p.load(Double, R2, R10, FILE);
        p.end_unless_same(R1, R2);
        p.load(Double, R1, R7, self.files);
        p.load(Double, R2, R10, FILES);
        p.end_unless_same(R1, R2);
        p.set_value_of(R1, array.number());
        p.set(R2, 1);
        p.fetch_add(R1, COUNT, R2);
        let full = p.skip_if_more(R2, room as i32 - 1);
        p.multiply(R2, RECORD as i32);
        p.set_value_of(R5, array.number());
        p.add(R5, HEADER as i32);
        p.add_register(R5, R2);
        for at in (0..RECORD as i16).step_by(8) {
            p.load(Double, R1, R10, PLACE + at);
            p.store(Double, R5, at, R1);
        }
        p.land(full);
        p.ends_lead_back(ends, next);

        p.land(done);
        p.set_place(R1, ITERATOR);
        p.call_function(self.num_destroy);
        p
    }
    /// Ends the program for the processes of the other one of two walks: those with odd numbers
    /// are the second one's. R6 has the context's meta, R7 the task.
    fn leave_to_other(&self, p: &mut Program, array: &Array) {
        use Size::{Double, Word};
        p.load(Double, R1, R6, self.walk);
        p.set_value_of(R2, array.number());
        p.set(R0, 0);
        p.copy(R3, R1);
        p.compare_exchange(R2, FIRST_WALK, R3);
        p.set(R9, 0);
        let began = p.skip_if_zero(R0);
        let is_first = p.skip_if_same(R0, R1);
        p.set(R9, 1);
        p.land(is_first);
        p.land(began);
        p.load(Word, R1, R7, self.tgid);
        p.and(R1, 1);
        p.end_unless_equal(R1, R9);
    }
}
