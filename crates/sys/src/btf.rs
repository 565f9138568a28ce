//! BTF: how the running kernel lays out its structures, from `/sys/kernel/btf/vmlinux`.
//!
//! A lean reader: one pass over the types, which remembers where each begins, and then only what
//! is asked for. Every access is checked, so no input can make it panic or loop.

use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::os::fd::AsRawFd;

use crate::{Errno, Error};

const FILE: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;

// More typedefs and qualifiers in a row, or structures within each other, have no kernel.
const DEPTH: usize = 16;

/// A kind of type (`BTF_KIND_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    const INT: Kind = Kind(1);
    const PTR: Kind = Kind(2);
    const ARRAY: Kind = Kind(3);
    /// A structure.
    pub const STRUCT: Kind = Kind(4);
    /// A union.
    pub const UNION: Kind = Kind(5);
    const ENUM: Kind = Kind(6);
    const TYPEDEF: Kind = Kind(8);
    const VOLATILE: Kind = Kind(9);
    const CONST: Kind = Kind(10);
    const RESTRICT: Kind = Kind(11);
    /// A function.
    pub const FUNC: Kind = Kind(12);
    const FUNC_PROTO: Kind = Kind(13);
    const VAR: Kind = Kind(14);
    const DATASEC: Kind = Kind(15);
    const DECL_TAG: Kind = Kind(17);
    const TYPE_TAG: Kind = Kind(18);
    const ENUM64: Kind = Kind(19);

    /// The bytes that follow the 12 of every type; `None` for a kind that is not known.
    fn tail(self, count: usize) -> Option<usize> {
        Some(match self {
            Kind::INT | Kind::VAR | Kind::DECL_TAG => 4,
            Kind::ARRAY => 12,
            Kind::STRUCT | Kind::UNION | Kind::DATASEC | Kind::ENUM64 => 12 * count,
            Kind::ENUM | Kind::FUNC_PROTO => 8 * count,
            Kind(2 | 7..=12 | 16 | 18) => 0,
            _ => return None,
        })
    }
}

/// Where a member is within a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its offset in bits.
    pub bit: u32,
    /// How many bits it has, if it is a bit field.
    pub bits: Option<u32>,
    /// The size of its type in bytes; `None` if that has none.
    pub size: Option<u32>,
}

impl Member {
    /// Its offset in bytes.
    pub fn byte(&self) -> u32 {
        self.bit / 8
    }
}

/// The types of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

/// The types asked for by [`Btf::find`], and where every `STEP`th type begins.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    btf: Btf<'a>,
    begins: Vec<u32>,
    ids: Vec<Option<u32>>,
}

/// There are more than a hundred thousand types, and few are asked for: to remember where each of
/// them begins takes longer than to go there from the one before it that is known.
const STEP: usize = 32;

impl<'a> Btf<'a> {
    /// Reads the header. The kernel's own byte order only.
    ///
    /// # Errors
    /// `EBADMSG` if it is none or leads outside of the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Btf<'a>, Error> {
        let section = || {
            let length = u32_at(bytes, 4)? as usize;
            let part = |offset: usize, size: usize| {
                let start = length.checked_add(u32_at(bytes, offset)? as usize)?;
                bytes.get(start..start.checked_add(u32_at(bytes, size)? as usize)?)
            };
            let is_btf = u32_at(bytes, 0)? as u16 == MAGIC && bytes.get(2) == Some(&1);
            is_btf.then_some(Btf { types: part(8, 12)?, strings: part(16, 20)? })
        };
        section().ok_or_else(malformed)
    }

    /// Looks for types by name and kind, all in one pass over all types. Of several with one name
    /// the first counts.
    ///
    /// # Errors
    /// `EBADMSG` if a type is cut off or of a kind this reader does not know.
    pub fn find(self, wanted: &[(&str, Kind)]) -> Result<Found<'a>, Error> {
        let mut begins = Vec::with_capacity(self.types.len() / 24 / STEP);
        let mut ids = vec![None; wanted.len()];
        let starts: Vec<Start> = wanted.iter().map(|(name, _)| Start::of(name)).collect();
        // The type 0 is void, and is not written down.
        let (mut at, mut id) = (0, 1);
        while at < self.types.len() {
            if id % STEP == 1 {
                begins.push(at as u32);
            }
            let header = Header::at(self.types, at).ok_or_else(malformed)?;
            if matches!(header.kind, Kind::STRUCT | Kind::UNION | Kind::FUNC) {
                let start = self.start(header.name);
                for (place, (name, kind)) in wanted.iter().enumerate() {
                    if starts[place].fits(start)
                        && header.kind == *kind
                        && ids[place].is_none()
                        && self.is_called(header.name, name)
                    {
                        ids[place] = Some(id as u32);
                    }
                }
            }
            at = header.end(at).ok_or_else(malformed)?;
            id += 1;
        }
        if at != self.types.len() {
            return Err(malformed());
        }
        Ok(Found { btf: self, begins, ids })
    }

    /// The first bytes of a name, and of what follows it; 0 at the very end.
    fn start(&self, at: u32) -> u64 {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        rest.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }

    fn is_called(&self, at: u32, name: &str) -> bool {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        rest.first() == name.as_bytes().first()
            && rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

impl Found<'_> {
    /// The number of the type that was asked for at this place of the list.
    pub fn id(&self, index: usize) -> Option<u32> {
        self.ids.get(index).copied().flatten()
    }

    /// Finds a member, through structures within structures: `["__sk_common", "skc_net", "net"]`.
    /// Members of nameless structures and unions count as those of the one around them.
    ///
    /// `index` is the place of the structure in the list given to [`Btf::find`].
    pub fn member(&self, index: usize, path: &[&str]) -> Option<Member> {
        let mut structure = self.id(index)?;
        let mut bit = 0u32;
        let mut found = None;
        for name in path {
            let (member, inner) = self.in_structure(structure, name, 0)?;
            bit = bit.checked_add(member.bit)?;
            found = Some(Member { bit, size: self.size(inner), ..member });
            structure = inner;
        }
        found
    }

    /// Finds a member by its name and returns it with its type.
    fn in_structure(&self, id: u32, name: &str, depth: usize) -> Option<(Member, u32)> {
        if depth > DEPTH {
            return None;
        }
        let (at, header) = self.resolved(id)?;
        if !matches!(header.kind, Kind::STRUCT | Kind::UNION) {
            return None;
        }
        for number in 0..header.count {
            let start = at + 12 + 12 * number;
            let word = |offset| u32_at(self.btf.types, start + offset);
            let (called, inner, place) = (word(0)?, word(4)?, word(8)?);
            // With the flag, the offset shares its word with the size of bit fields.
            let (bit, bits) = match header.flag {
                true => (place & 0xff_ffff, place >> 24),
                false => (place, 0),
            };
            if self.btf.is_called(called, name) {
                let bits = (bits != 0).then_some(bits);
                return Some((Member { bit, bits, size: None }, inner));
            }
            let is_nameless = self.btf.strings.get(called as usize) == Some(&0);
            if is_nameless && let Some((found, of)) = self.in_structure(inner, name, depth + 1) {
                return Some((Member { bit: bit.checked_add(found.bit)?, ..found }, of));
            }
        }
        None
    }

    /// Where a type begins.
    fn begin(&self, id: u32) -> Option<usize> {
        let place = (id as usize).checked_sub(1)?;
        let mut at = *self.begins.get(place / STEP)? as usize;
        for _ in 0..place % STEP {
            at = Header::at(self.btf.types, at)?.end(at)?;
        }
        Some(at)
    }

    /// The type behind typedefs and qualifiers, and where it is.
    fn resolved(&self, mut id: u32) -> Option<(usize, Header)> {
        for _ in 0..DEPTH {
            let at = self.begin(id)?;
            let header = Header::at(self.btf.types, at)?;
            match header.kind {
                Kind::TYPEDEF | Kind::VOLATILE | Kind::CONST | Kind::RESTRICT | Kind::TYPE_TAG => {
                    id = header.size_or_type;
                }
                _ => return Some((at, header)),
            }
        }
        None
    }

    fn size(&self, id: u32) -> Option<u32> {
        let (_, header) = self.resolved(id)?;
        match header.kind {
            Kind::PTR => Some(8),
            Kind::INT | Kind::STRUCT | Kind::UNION | Kind::ENUM | Kind::ENUM64 => {
                Some(header.size_or_type)
            }
            _ => None,
        }
    }
}

/// The first bytes of a name that is looked for: one comparison rules out nearly all others.
struct Start {
    bytes: u64,
    mask: u64,
}

impl Start {
    fn of(name: &str) -> Start {
        let (mut bytes, mut mask) = ([0; 8], [0; 8]);
        for (at, byte) in name.bytes().take(8).enumerate() {
            (bytes[at], mask[at]) = (byte, u8::MAX);
        }
        Start { bytes: u64::from_ne_bytes(bytes), mask: u64::from_ne_bytes(mask) }
    }

    /// Says whether a name may be the one: 0 stands for one that is not known.
    fn fits(&self, start: u64) -> bool {
        start & self.mask == self.bytes || start == 0
    }
}

/// The first 12 bytes of a type.
#[derive(Clone, Copy)]
struct Header {
    name: u32,
    kind: Kind,
    count: usize,
    flag: bool,
    size_or_type: u32,
}

impl Header {
    fn at(types: &[u8], at: usize) -> Option<Header> {
        let bytes: &[u8; 12] = types.get(at..)?.first_chunk()?;
        let (words, _) = bytes.as_chunks::<4>();
        let word = |at: usize| u32::from_ne_bytes(words[at]);
        let info = word(1);
        Some(Header {
            name: word(0),
            kind: Kind((info >> 24 & 0x1f) as u8),
            count: (info & 0xffff) as usize,
            flag: info >> 31 == 1,
            size_or_type: word(2),
        })
    }

    /// Where the type after this one, which is at `at`, begins.
    fn end(&self, at: usize) -> Option<usize> {
        at.checked_add(12)?.checked_add(self.kind.tail(self.count)?)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn malformed() -> Error {
    Error::about("btf", Errno::EBADMSG, FILE)
}

/// The bytes of `/sys/kernel/btf/vmlinux`.
#[derive(Debug)]
pub struct Vmlinux(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped { start: *mut libc::c_void, length: usize },
    Read(Vec<u8>),
}

impl Vmlinux {
    /// Maps the file, or reads it where the kernel (before 6.16) does not let it be mapped: some
    /// 5 MB. Needs no privilege.
    ///
    /// # Errors
    /// `ENOENT` if the kernel was built without BTF.
    pub fn open() -> Result<Vmlinux, Error> {
        let failed =
            |call| move |error: std::io::Error| Error::about(call, Errno::from(error), FILE);
        let mut file = File::open(FILE).map_err(failed("open"))?;
        let length = file.metadata().map_err(failed("stat"))?.len() as usize;
        // SAFETY: a new mapping, where the kernel likes, of a file that never changes.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_POPULATE,
                file.as_raw_fd(),
                0,
            )
        };
        if start != libc::MAP_FAILED {
            return Ok(Vmlinux(Bytes::Mapped { start, length }));
        }
        let mut bytes = Vec::with_capacity(length + 1);
        file.read_to_end(&mut bytes).map_err(failed("read"))?;
        Ok(Vmlinux(Bytes::Read(bytes)))
    }
}

impl Deref for Vmlinux {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: the mapping has this length, is readable, never changes, and lives as long
            // as this value.
            Bytes::Mapped { start, length } => unsafe {
                std::slice::from_raw_parts(start.cast::<u8>(), *length)
            },
            Bytes::Read(bytes) => bytes,
        }
    }
}

impl Drop for Vmlinux {
    fn drop(&mut self) {
        if let Bytes::Mapped { start, length } = self.0 {
            // SAFETY: it was mapped with this length, and no reference outlives this value.
            unsafe { libc::munmap(start, length) };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `struct outer { int a; union { struct { short b; short c:3; }; long d; }; }`, in BTF.
    fn made_up() -> Vec<u8> {
        let mut types = Vec::new();
        let mut words = |words: &[u32]| types.extend(words.iter().flat_map(|w| w.to_ne_bytes()));
        let kind = |kind: u32, flag: u32, count: u32| flag << 31 | kind << 24 | count;
        words(&[1, kind(1, 0, 0), 4, 0]); // 1: int
        words(&[0, kind(4, 1, 2), 8, 5, 1, 0, 7, 1, 16 | 3 << 24]); // 2: struct { b; c:3; }
        words(&[0, kind(5, 0, 2), 8, 0, 2, 0, 9, 1, 0]); // 3: union
        words(&[11, kind(4, 0, 2), 16, 17, 1, 0, 0, 3, 64]); // 4: struct outer
        words(&[19, kind(12, 0, 1), 0]); // 5: func
        let strings = b"\0int\0b\0c\0d\0outer\0a\0f\0";
        let mut bytes = Vec::new();
        bytes.extend(MAGIC.to_ne_bytes());
        bytes.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        bytes.extend(&types);
        bytes.extend(strings);
        bytes
    }

    const WANTED: [(&str, Kind); 3] =
        [("outer", Kind::STRUCT), ("f", Kind::FUNC), ("nothing", Kind::STRUCT)];

    #[test]
    fn members_are_found_through_nameless_ones() {
        let bytes = made_up();
        let found = Btf::parse(&bytes).unwrap().find(&WANTED).unwrap();
        assert_eq!((found.id(0), found.id(1), found.id(2)), (Some(4), Some(5), None));
        let place = |name| found.member(0, &[name]).map(|m| (m.bit, m.bits, m.size));
        assert_eq!(place("a"), Some((0, None, Some(4))));
        assert_eq!(place("b"), Some((64, None, Some(4))));
        assert_eq!(place("c"), Some((80, Some(3), Some(4))));
        assert_eq!(place("d"), Some((64, None, Some(4))));
        assert_eq!(place("e"), None);
        assert_eq!(found.member(0, &["a", "b"]), None);
        assert_eq!(found.member(1, &["a"]), None);
    }

    #[test]
    fn of_this_kernel() {
        let vmlinux = match Vmlinux::open() {
            Ok(vmlinux) => vmlinux,
            Err(error) => return crate::not_run!("{error}"),
        };
        let wanted = [("sock_common", Kind::STRUCT), ("bpf_iter_task_file", Kind::FUNC)];
        let found = Btf::parse(&vmlinux).unwrap().find(&wanted).unwrap();
        assert!(found.id(1).is_some());
        assert_eq!(found.member(0, &["skc_num"]).unwrap().size, Some(2));
        assert_eq!(found.member(0, &["skc_reuseport"]).unwrap().bits, Some(1));
        assert_eq!(found.member(0, &["skc_net", "net"]).unwrap().size, Some(8));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(found) = Btf::parse(&bytes).and_then(|btf| btf.find(&WANTED)) {
                let _ = found.member(0, &["a", "b"]);
            }
        }

        #[test]
        fn damaged_types_are_read(cut in 0usize..300, at in 0usize..300, byte: u8) {
            let mut bytes = made_up();
            bytes.truncate(cut);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            if let Ok(found) = Btf::parse(&bytes).and_then(|btf| btf.find(&WANTED)) {
                for name in ["a", "b", "c", "d", "e"] {
                    let _ = found.member(0, &[name]);
                    let _ = found.member(0, &[name, "b"]);
                }
            }
        }
    }
}
