//! Programs written instruction by instruction, loaded, and run as iterators.

use std::ffi::c_long;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::{Errno, Error};

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reg(pub u8);

pub(super) const R0: Reg = Reg(0);
pub(super) const R1: Reg = Reg(1);
pub(super) const R2: Reg = Reg(2);
pub(super) const R3: Reg = Reg(3);
pub(super) const R4: Reg = Reg(4);
pub(super) const R5: Reg = Reg(5);
pub(super) const R6: Reg = Reg(6);
pub(super) const R7: Reg = Reg(7);
pub(super) const R8: Reg = Reg(8);
pub(super) const R9: Reg = Reg(9);
/// The end of the stack, which grows down.
pub(super) const R10: Reg = Reg(10);

/// How much a load or store moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Byte = 0x10,
    Half = 0x08,
    Word = 0x00,
    Double = 0x18,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A branch that leads to a place not written yet.
#[must_use]
pub(super) struct Skip(usize);

/// A place to go back to.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

/// Which ends were there already, see [`Program::ends_lead_back`].
pub(super) struct Ends(usize);

/// A program being written. Every branch but a [`Skip`] leads to its end.
#[derive(Debug, Default)]
pub(super) struct Program {
    instructions: Vec<Instruction>,
    to_end: Vec<usize>,
}

impl Program {
    fn push(&mut self, code: u8, to: Reg, from: Reg, offset: i16, immediate: i32) {
        // A byte of bit fields, which the compiler fills from the low end on little-endian
        // machines.
        let registers = match cfg!(target_endian = "little") {
            true => to.0 | from.0 << 4,
            false => to.0 << 4 | from.0,
        };
        self.instructions.push(Instruction { code, registers, offset, immediate });
    }

    /// `to = *(from + offset)`
    pub(super) fn load(&mut self, size: Size, to: Reg, from: Reg, offset: i16) {
        self.push(0x61 | size as u8, to, from, offset, 0);
    }

    /// `*(to + offset) = from`
    pub(super) fn store(&mut self, size: Size, to: Reg, offset: i16, from: Reg) {
        self.push(0x63 | size as u8, to, from, offset, 0);
    }

    /// `to = from`
    pub(super) fn copy(&mut self, to: Reg, from: Reg) {
        self.push(0xbf, to, from, 0, 0);
    }

    /// `to = value`
    pub(super) fn set(&mut self, to: Reg, value: i32) {
        self.push(0xb7, to, R0, 0, value);
    }

    /// `to = value`, all 64 bits.
    pub(super) fn set_double(&mut self, to: Reg, value: u64) {
        self.push(0x18, to, R0, 0, value as u32 as i32);
        self.push(0, R0, R0, 0, (value >> 32) as i32);
    }

    /// `to` = the address of the value of an array that has one, by its descriptor.
    pub(super) fn set_value_of(&mut self, to: Reg, array: i32) {
        const MAP_VALUE: Reg = Reg(2);
        self.push(0x18, to, MAP_VALUE, 0, array);
        self.push(0, R0, R0, 0, 0);
    }

    /// `to` = the address of a place on the stack.
    pub(super) fn set_place(&mut self, to: Reg, offset: i16) {
        self.copy(to, R10);
        self.add(to, offset.into());
    }

    /// `to &= value`
    pub(super) fn and(&mut self, to: Reg, value: u32) {
        self.push(0x57, to, R0, 0, value.cast_signed());
    }

    /// `to += value`
    pub(super) fn add(&mut self, to: Reg, value: i32) {
        self.push(0x07, to, R0, 0, value);
    }

    /// `to += from`
    pub(super) fn add_register(&mut self, to: Reg, from: Reg) {
        self.push(0x0f, to, from, 0, 0);
    }

    /// `to *= value`
    pub(super) fn multiply(&mut self, to: Reg, value: i32) {
        self.push(0x27, to, R0, 0, value);
    }

    /// `to <<= bits`
    pub(super) fn shift_left(&mut self, to: Reg, bits: i32) {
        self.push(0x67, to, R0, 0, bits);
    }

    /// `from` becomes `*(to + offset)`, and that is raised by what `from` was, at once.
    pub(super) fn fetch_add(&mut self, to: Reg, offset: i16, from: Reg) {
        const FETCH_ADD: i32 = 0x01;
        self.push(0xdb, to, from, offset, FETCH_ADD);
    }

    /// `*(to + offset) = from` if it is what R0 says, at once; R0 becomes what it was.
    pub(super) fn compare_exchange(&mut self, to: Reg, offset: i16, from: Reg) {
        const COMPARE_EXCHANGE: i32 = 0xf1;
        self.push(0xdb, to, from, offset, COMPARE_EXCHANGE);
    }

    /// Calls a function of the kernel by its BTF number; the arguments are in R1 to R5.
    pub(super) fn call_function(&mut self, function: u32) {
        const BY_BTF: Reg = Reg(2);
        self.push(0x85, R0, BY_BTF, 0, function.cast_signed());
    }

    /// Calls a helper by its number; the arguments are in R1 to R5.
    pub(super) fn call(&mut self, function: i32) {
        self.push(0x85, R0, R0, 0, function);
    }

    /// Ends the program if the register is zero.
    pub(super) fn end_if_zero(&mut self, register: Reg) {
        self.to_end.push(self.instructions.len());
        self.push(0x15, register, R0, 0, 0);
    }

    /// Ends the program unless the lower half of the register is this value.
    pub(super) fn end_unless(&mut self, register: Reg, value: u32) {
        self.to_end.push(self.instructions.len());
        self.push(0x56, register, R0, 0, value.cast_signed());
    }

    /// Ends the program unless the lower halves of two registers are equal.
    pub(super) fn end_unless_equal(&mut self, one: Reg, other: Reg) {
        self.to_end.push(self.instructions.len());
        self.push(0x5e, one, other, 0, 0);
    }

    /// Ends the program if two registers are equal.
    pub(super) fn end_if_same(&mut self, one: Reg, other: Reg) {
        self.to_end.push(self.instructions.len());
        self.push(0x1d, one, other, 0, 0);
    }

    /// Ends the program unless two registers are equal.
    pub(super) fn end_unless_same(&mut self, one: Reg, other: Reg) {
        self.to_end.push(self.instructions.len());
        self.push(0x5d, one, other, 0, 0);
    }

    /// Ends the program unless the register is zero.
    pub(super) fn end_unless_zero(&mut self, register: Reg) {
        self.to_end.push(self.instructions.len());
        self.push(0x55, register, R0, 0, 0);
    }

    /// Ends the program unless the lower half of the register is one of two values.
    pub(super) fn end_unless_either(&mut self, register: Reg, one: u32, other: u32) {
        self.push(0x16, register, R0, 1, one.cast_signed());
        self.end_unless(register, other);
    }

    /// Goes on at [`Program::land`] if the lower half of the register is this value.
    pub(super) fn skip_if(&mut self, register: Reg, value: u32) -> Skip {
        self.skip_by(0x16, register, R0, value.cast_signed())
    }

    /// Goes on at [`Program::land`] unless the lower half of the register is this value.
    pub(super) fn skip_unless(&mut self, register: Reg, value: u32) -> Skip {
        self.skip_by(0x56, register, R0, value.cast_signed())
    }

    /// Goes on at [`Program::land`] if the register is zero.
    pub(super) fn skip_if_zero(&mut self, register: Reg) -> Skip {
        self.skip_by(0x15, register, R0, 0)
    }

    /// Goes on at [`Program::land`] if the register is more than this value, without sign.
    pub(super) fn skip_if_more(&mut self, register: Reg, value: i32) -> Skip {
        self.skip_by(0x25, register, R0, value)
    }

    /// Goes on at [`Program::land`] if two registers are equal.
    pub(super) fn skip_if_same(&mut self, one: Reg, other: Reg) -> Skip {
        self.skip_by(0x1d, one, other, 0)
    }

    fn skip_by(&mut self, code: u8, to: Reg, from: Reg, immediate: i32) -> Skip {
        self.push(code, to, from, 0, immediate);
        Skip(self.instructions.len() - 1)
    }

    /// Goes on at [`Program::land`].
    pub(super) fn skip(&mut self) -> Skip {
        self.push(0x05, R0, R0, 0, 0);
        Skip(self.instructions.len() - 1)
    }

    /// The place where a skip leads to.
    pub(super) fn land(&mut self, skip: Skip) {
        self.instructions[skip.0].offset = (self.instructions.len() - skip.0 - 1) as i16;
    }

    /// The place that is written next.
    pub(super) fn here(&self) -> Place {
        Place(self.instructions.len())
    }

    /// The ends so far.
    pub(super) fn ends(&self) -> Ends {
        Ends(self.to_end.len())
    }

    /// Goes back, and makes a round of a loop what would be an end since `ends`.
    pub(super) fn ends_lead_back(&mut self, ends: Ends, to: Place) {
        self.to_end.push(self.instructions.len());
        self.push(0x05, R0, R0, 0, 0);
        for at in self.to_end.drain(ends.0..) {
            self.instructions[at].offset = (to.0 as isize - at as isize - 1) as i16;
        }
    }

    /// Adds the end, which every early end leads to: `return 0`.
    fn finished(mut self) -> Vec<Instruction> {
        let end = self.instructions.len();
        for at in self.to_end {
            self.instructions[at].offset = (end - at - 1) as i16;
        }
        self.to_end = Vec::new();
        self.set(R0, 0);
        self.push(0x95, R0, R0, 0, 0);
        self.instructions
    }

    /// Loads the program as an iterator, runs it over everything, and returns what it wrote.
    /// `iterator` is the BTF number of the function `bpf_iter_NAME`. Nothing of it stays.
    ///
    /// Needs `CAP_BPF` and `CAP_PERFMON`, or `CAP_SYS_ADMIN`, in the initial user namespace.
    ///
    /// # Errors
    /// `EPERM`, also by a kernel that is locked down; `EINVAL`, `EACCES` if this kernel does not
    /// accept the program.
    pub(super) fn run(self, iterator: u32) -> Result<Vec<u8>, Error> {
        read_whole(self.linked(iterator)?.start()?)
    }

    /// The same, but what it writes is read in pieces, and when `is_enough` says so of all that was
    /// read it goes no further.
    ///
    /// # Errors
    /// Those of [`Program::run`].
    pub(super) fn run_until(
        self,
        iterator: u32,
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, Error> {
        // The kernel goes on until it has written as much as fits.
        const PIECE: usize = 16;
        let mut file = self.linked(iterator)?.start()?;
        let mut bytes = Vec::new();
        while !is_enough(&bytes) {
            let mut piece = [0; PIECE];
            match read_piece(&mut file, &mut piece)? {
                0 => break,
                more => bytes.extend_from_slice(&piece[..more]),
            }
        }
        Ok(bytes)
    }

    /// Loads the program as an iterator and makes it ready to run.
    ///
    /// # Errors
    /// Those of [`Program::run`].
    pub(super) fn linked(self, iterator: u32) -> Result<Linked, Error> {
        const PROG_LOAD: c_long = 5;
        const LINK_CREATE: c_long = 28;
        let instructions = self.finished();
        let load = Load {
            prog_type: 26, // BPF_PROG_TYPE_TRACING
            insn_cnt: instructions.len() as u32,
            insns: instructions.as_ptr() as u64,
            license: c"Dual MIT/GPL".as_ptr() as u64,
            expected_attach_type: TRACE_ITER,
            attach_btf_id: iterator,
            ..Load::default()
        };
        // SAFETY: the instructions and the text outlive the call, which only reads them.
        let program = unsafe { bpf(PROG_LOAD, &load) }.map_err(|e| failed(e, "PROG_LOAD"))?;
        let link = Link { prog_fd: number(&program), attach_type: TRACE_ITER, ..Link::default() };
        // SAFETY: the attributes have no pointer.
        let link = unsafe { bpf(LINK_CREATE, &link) }.map_err(|e| failed(e, "LINK_CREATE"))?;
        Ok(Linked(link))
    }
}

/// A program that can run, any number of times, also at once.
pub(super) struct Linked(OwnedFd);

impl Linked {
    /// Runs a program that writes nothing over everything.
    ///
    /// # Errors
    /// Those of bpf(2) and read(2).
    pub(super) fn run(&self) -> Result<(), Error> {
        let mut file = self.start()?;
        while read_piece(&mut file, &mut [0; 64])? > 0 {}
        Ok(())
    }

    fn start(&self) -> Result<File, Error> {
        const ITER_CREATE: c_long = 33;
        let iter = Iter { link_fd: number(&self.0), flags: 0 };
        // SAFETY: the attributes have no pointer.
        let iter = unsafe { bpf(ITER_CREATE, &iter) }.map_err(|e| failed(e, "ITER_CREATE"))?;
        Ok(iter.into())
    }
}

const TRACE_ITER: u32 = 28;

/// The beginning of `union bpf_attr` for BPF_PROG_LOAD.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

#[repr(C)]
#[derive(Default)]
struct Link {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Iter {
    link_fd: u32,
    flags: u32,
}

/// # Safety
/// What `attributes` points to must be as the command expects.
pub(super) unsafe fn bpf<T>(command: c_long, attributes: &T) -> Result<OwnedFd, Errno> {
    let attributes: *const T = attributes;
    // SAFETY: the pointer is to attributes of this size; the rest is the caller's promise.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if fd < 0 {
        return Err(Errno::last());
    }
    // SAFETY: the call above just made it and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

pub(super) fn failed(errno: Errno, detail: &'static str) -> Error {
    Error::about("bpf", errno, detail)
}

fn read_whole(mut file: File) -> Result<Vec<u8>, Error> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    loop {
        if bytes.len() - length < 32 * 1024 {
            bytes.resize(2 * bytes.len().max(64 * 1024), 0);
        }
        match read_piece(&mut file, &mut bytes[length..])? {
            0 => break,
            more => length += more,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Reads from an iterator, which may say `EAGAIN` after a long while without anything to show.
fn read_piece(file: &mut File, piece: &mut [u8]) -> Result<usize, Error> {
    loop {
        match file.read(piece) {
            Ok(length) => return Ok(length),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {}
            Err(error) => return Err(failed(Errno::from(error), "read")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_ends_lead_to_the_end() {
        let mut program = Program::default();
        program.end_if_zero(R1);
        program.end_unless_either(R1, 2, 10);
        let offsets: Vec<i16> = program.finished().iter().map(|i| i.offset).collect();
        assert_eq!(offsets, [2, 1, 0, 0, 0]);
    }
}
