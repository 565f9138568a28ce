//! ld.so(8): what a dynamic binary asks its loader for.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{Errno, Error};

/// The libraries of a binary and where it wants them looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// The names of the libraries (`DT_NEEDED`). Untrusted bytes.
    pub needed: Vec<Vec<u8>>,
    /// The directories of its run path (`DT_RUNPATH`, else `DT_RPATH`). Untrusted bytes.
    pub run_path: Vec<Vec<u8>>,
}

/// Reads what a binary asks its loader for; nothing of what asks for nothing. Needs the right to
/// read the file.
///
/// # Errors
/// Those of open(2) and read(2); `EBADMSG` if it is no sound ELF binary.
pub fn dynamic(path: &Path) -> Result<Dynamic, Error> {
    let about = |call, errno| Error::about(call, errno, path.to_string_lossy());
    let file = File::open(path).map_err(|error| about("open", Errno::from(error)))?;
    let mut failed = None;
    let found = parse(|offset, length| {
        let mut bytes = vec![0; length];
        let read = file.read_exact_at(&mut bytes, offset);
        failed = read.err().or(failed.take());
        failed.is_none().then_some(bytes)
    });
    match (found, failed) {
        (Some(found), _) => Ok(found),
        (None, Some(error)) if error.raw_os_error().is_some() => {
            Err(about("read", Errno::from(error)))
        }
        (None, _) => Err(about("read", Errno::EBADMSG)),
    }
}

/// More than any table of a sound binary needs.
const LONGEST: u64 = 1 << 20;

/// Reads it from a file of which `read` returns the bytes at an offset.
fn parse(mut read: impl FnMut(u64, usize) -> Option<Vec<u8>>) -> Option<Dynamic> {
    let mut table = |offset, length: u64| {
        if length > LONGEST { None } else { read(offset, usize::try_from(length).ok()?) }
    };
    let head = table(0, 52)?;
    let numbers = Numbers::of(&head)?;
    let head = if numbers.is_64 { table(0, 64)? } else { head };
    let (start_at, size_at) = if numbers.is_64 { (32, 54) } else { (28, 42) };
    let start = numbers.word(&head, start_at)?;
    let size = numbers.field(&head, size_at, 2)?;
    let count = numbers.field(&head, size_at + 2, 2)?;
    let headers = table(start, size.checked_mul(count)?)?;
    let segments: Vec<Segment> = headers
        .chunks_exact(usize::try_from(size).ok()?.max(1))
        .filter_map(|h| numbers.segment(h))
        .collect();
    let Some(dynamic) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
        return Some(Dynamic::default());
    };
    let width = if numbers.is_64 { 8 } else { 4 };
    let bytes = table(dynamic.offset, dynamic.length)?;
    let entries: Vec<(u64, u64)> = bytes
        .chunks_exact(2 * width)
        .map_while(|entry| Some((numbers.word(entry, 0)?, numbers.word(entry, width)?)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
    let (Some(strings), Some(length)) = (value(DT_STRTAB), value(DT_STRSZ)) else {
        return Some(Dynamic::default());
    };
    let holds = |s: &&Segment| {
        s.kind == PT_LOAD && (s.address..s.address.saturating_add(s.length)).contains(&strings)
    };
    let segment = segments.iter().find(holds)?;
    let strings = table(segment.offset.checked_add(strings - segment.address)?, length)?;
    let text = |at: u64| {
        let rest = strings.get(usize::try_from(at).ok()?..)?;
        rest.split(|byte| *byte == 0).next().map(<[u8]>::to_vec)
    };
    let needed =
        entries.iter().filter(|(tag, _)| *tag == DT_NEEDED).filter_map(|(_, at)| text(*at));
    let needed = needed.collect();
    let run_path = value(DT_RUNPATH).or(value(DT_RPATH)).and_then(text).unwrap_or_default();
    let run_path = run_path.split(|byte| *byte == b':').filter(|d| !d.is_empty());
    let run_path = run_path.map(<[u8]>::to_vec).collect();
    Some(Dynamic { needed, run_path })
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    length: u64,
}

/// How a binary writes its numbers.
#[derive(Clone, Copy)]
struct Numbers {
    is_64: bool,
    little_endian: bool,
}

impl Numbers {
    fn of(head: &[u8]) -> Option<Numbers> {
        match head.get(..6)? {
            [0x7f, b'E', b'L', b'F', class @ (1 | 2), data @ (1 | 2)] => {
                Some(Numbers { is_64: *class == 2, little_endian: *data == 1 })
            }
            _ => None,
        }
    }

    fn field(self, bytes: &[u8], at: usize, length: usize) -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(length)?)?;
        let join = |number, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.little_endian {
            true => bytes.iter().rev().fold(0, join),
            false => bytes.iter().fold(0, join),
        })
    }

    /// An address or a length.
    fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        self.field(bytes, at, if self.is_64 { 8 } else { 4 })
    }

    fn segment(self, header: &[u8]) -> Option<Segment> {
        let (offset, address, length) = if self.is_64 { (8, 16, 32) } else { (4, 8, 16) };
        Some(Segment {
            kind: self.field(header, 0, 4)?,
            offset: self.word(header, offset)?,
            address: self.word(header, address)?,
            length: self.word(header, length)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn in_memory(bytes: &[u8]) -> Option<Dynamic> {
        parse(|offset, length| {
            let start = usize::try_from(offset).ok()?;
            bytes.get(start..start.checked_add(length)?).map(<[u8]>::to_vec)
        })
    }

    #[test]
    fn this_program_needs_libraries() {
        let Ok(found) = dynamic(Path::new("/proc/self/exe")) else { panic!("no ELF binary") };
        let is_static =
            crate::elf::parse(&crate::path::head(Path::new("/proc/self/exe"), 4096).unwrap())
                .is_some_and(|elf| elf.loader == crate::elf::Loader::Static);
        assert_ne!(found.needed.is_empty(), !is_static, "{found:?}");
        let error = dynamic(Path::new("/proc/self/status")).unwrap_err();
        assert_eq!(error.errno, Errno::EBADMSG);
    }

    /// A binary of 64 bits that needs `libx.so` and looks beside itself.
    fn binary() -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        (bytes[32], bytes[54], bytes[56]) = (64, 56, 2);
        let strings = b"\0libx.so\0$ORIGIN/lib:/opt/lib\0";
        let (dynamic_at, length) = (64 + 2 * 56, 5 * 16);
        let strings_at = dynamic_at + length;
        let total = (strings_at + strings.len()) as u64;
        let mut header = |kind: u64, offset: u64, address: u64, length: u64| {
            let numbers = [kind, offset, address, 0, length, 0, 0];
            bytes.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        };
        header(PT_LOAD, 0, 0x40_0000, total);
        header(PT_DYNAMIC, dynamic_at as u64, 0, length as u64);
        let strings_address = 0x40_0000 + strings_at as u64;
        for (tag, value) in [
            (DT_NEEDED, 1),
            (DT_RUNPATH, 9),
            (DT_STRTAB, strings_address),
            (DT_STRSZ, strings.len() as u64),
            (0, 0),
        ] {
            bytes.extend([tag, value].iter().flat_map(|n: &u64| n.to_le_bytes()));
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn libraries_and_their_places() {
        let found = in_memory(&binary()).unwrap();
        assert_eq!(found.needed, [b"libx.so".to_vec()]);
        assert_eq!(found.run_path, [b"$ORIGIN/lib".to_vec(), b"/opt/lib".to_vec()]);
        assert_eq!(in_memory(b"#!/bin/sh\n"), None);
    }

    proptest! {
        #[test]
        fn a_damaged_binary_is_no_panic(at in 0usize..300, byte: u8, cut in 0usize..300) {
            let mut bytes = binary();
            if let Some(there) = bytes.get_mut(at) {
                *there = byte;
            }
            let _ = in_memory(&bytes);
            let _ = in_memory(&bytes[..cut.min(bytes.len())]);
        }
    }
}
