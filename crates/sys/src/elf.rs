//! elf(5): as much of a binary as tells who runs it.

/// What the head of an ELF binary says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// The processor it is for, `e_machine`.
    pub machine: u16,
    /// Whether it is of 64 bits.
    pub is_64: bool,
    /// Whether its numbers start with the low byte.
    pub little_endian: bool,
    /// Whether it is something to run: an executable or a shared object.
    pub runs: bool,
    /// The dynamic loader it asks for. Untrusted text.
    pub loader: Loader,
}

/// How a binary gets its libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loader {
    /// It needs none.
    Static,
    /// By the program with this path (`PT_INTERP`), as bytes.
    Dynamic(Vec<u8>),
    /// That stands behind the bytes that were read.
    NotSeen,
}

/// Reads the head of a file; `None` if it is no ELF binary. A few kilobytes are enough for nearly
/// every one.
pub fn parse(bytes: &[u8]) -> Option<Elf> {
    let (is_64, little_endian) = match bytes.get(..6)? {
        [0x7f, b'E', b'L', b'F', class @ (1 | 2), data @ (1 | 2)] => (*class == 2, *data == 1),
        _ => return None,
    };
    let field = |offset: usize, length: usize| -> Option<u64> {
        let bytes = bytes.get(offset..offset.checked_add(length)?)?;
        let join = |number, byte: &u8| number << 8 | u64::from(*byte);
        Some(if little_endian {
            bytes.iter().rev().fold(0, join)
        } else {
            bytes.iter().fold(0, join)
        })
    };
    let word = if is_64 { 8 } else { 4 };
    let kind = field(16, 2)?;
    let machine = u16::try_from(field(18, 2)?).ok()?;
    let start = usize::try_from(field(24 + word, word)?).ok()?;
    let (size_at, count_at) = if is_64 { (54, 56) } else { (42, 44) };
    let size = usize::try_from(field(size_at, 2)?).ok()?;
    let count = usize::try_from(field(count_at, 2)?).ok()?;
    let loader = loader(bytes, start, size, count, word, &field);
    Some(Elf { machine, is_64, little_endian, runs: matches!(kind, 2 | 3), loader })
}

/// Looks for the program header that names the loader.
fn loader(
    bytes: &[u8],
    start: usize,
    size: usize,
    count: usize,
    word: usize,
    field: &dyn Fn(usize, usize) -> Option<u64>,
) -> Loader {
    const PT_INTERP: u64 = 3;
    let (offset_at, length_at) = if word == 8 { (8, 32) } else { (4, 16) };
    for n in 0..count {
        let Some(header) = n.checked_mul(size).and_then(|n| n.checked_add(start)) else {
            return Loader::NotSeen;
        };
        let Some(kind) = field(header, 4) else { return Loader::NotSeen };
        if kind != PT_INTERP {
            continue;
        }
        let range = || {
            let offset = usize::try_from(field(header.checked_add(offset_at)?, word)?).ok()?;
            let length = usize::try_from(field(header.checked_add(length_at)?, word)?).ok()?;
            bytes.get(offset..offset.checked_add(length)?)
        };
        let path = range().and_then(|path| path.split(|byte| *byte == 0).next());
        return path.map_or(Loader::NotSeen, |path| Loader::Dynamic(path.to_vec()));
    }
    Loader::Static
}

/// Reads the interpreter that the `#!` line of a script names, as the kernel does from the first
/// 256 bytes: its path and, if there is one, its argument. `None` if it is no such script.
pub fn parse_script(bytes: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    const SEEN: usize = 256;
    let head = bytes.get(..SEEN).unwrap_or(bytes).strip_prefix(b"#!")?;
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let (line, whole) = match head.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&head[..end], true),
        None => (head, bytes.len() < SEEN),
    };
    let start = line.iter().position(|byte| !blank(byte))?;
    let line = &line[start..];
    let end = line.iter().position(|byte| blank(byte) || *byte == 0);
    // A path that may be cut short is not run.
    if end.is_none() && !whole {
        return None;
    }
    let (path, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    let argument = rest.trim_ascii_start();
    let argument_end = argument.iter().rposition(|byte| !blank(byte)).map_or(0, |last| last + 1);
    let argument = (argument_end > 0).then(|| argument[..argument_end].to_vec());
    (!path.is_empty()).then(|| (path.to_vec(), argument))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn this_program() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let elf = parse(&bytes).unwrap();
        assert!(elf.runs);
        assert_eq!(elf.is_64, cfg!(target_pointer_width = "64"));
        if let Loader::Dynamic(path) = elf.loader {
            assert!(path.starts_with(b"/lib"), "{}", String::from_utf8_lossy(&path));
        }
        assert_eq!(parse(&bytes[..64]).unwrap().loader, Loader::NotSeen);
    }

    #[test]
    fn a_head_with_a_loader() {
        let elf = parse(&head_64(b"/lib64/ld.so\0")).unwrap();
        assert_eq!((elf.machine, elf.is_64, elf.little_endian, elf.runs), (62, true, true, true));
        assert_eq!(elf.loader, Loader::Dynamic(b"/lib64/ld.so".to_vec()));
        let mut without = head_64(b"");
        without[64] = 1;
        assert_eq!(parse(&without).unwrap().loader, Loader::Static);
        assert_eq!(parse(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn first_lines_of_scripts() {
        let found = |path: &str, argument: Option<&str>| {
            Some((path.as_bytes().to_vec(), argument.map(|text| text.as_bytes().to_vec())))
        };
        for (head, expected) in [
            ("#!/bin/sh\necho", found("/bin/sh", None)),
            ("#! /usr/bin/env -S python3 -u \t\n", found("/usr/bin/env", Some("-S python3 -u"))),
            ("#!/bin/sh", found("/bin/sh", None)),
            ("#!/bin/sh\r\n", found("/bin/sh\r", None)),
            ("#!/bin/sh\0-e\n", found("/bin/sh", None)),
            ("#!  \n/bin/sh", None),
            ("#!", None),
            ("# !/bin/sh\n", None),
            ("\n#!/bin/sh\n", None),
        ] {
            assert_eq!(parse_script(head.as_bytes()), expected, "{head:?}");
        }
        // A path that ends beyond the bytes the kernel reads is not run, an argument is cut.
        let long = format!("#!/{}\n", "x".repeat(300));
        assert_eq!(parse_script(long.as_bytes()), None);
        let long = format!("#!/bin/sh {}\n", "x".repeat(300));
        let (path, argument) = parse_script(long.as_bytes()).unwrap();
        assert_eq!((path.as_slice(), argument.unwrap().len()), (b"/bin/sh".as_slice(), 246));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            if let Some((path, argument)) = parse_script(&bytes) {
                prop_assert!(!path.is_empty());
                prop_assert!(argument.is_none_or(|argument| !argument.is_empty()));
            }
        }

        #[test]
        fn a_damaged_head_is_no_panic(at in 0usize..120, byte: u8, cut in 0usize..120) {
            let mut head = head_64(b"/lib64/ld.so\0");
            if let Some(there) = head.get_mut(at) {
                *there = byte;
            }
            let _ = parse(&head);
            let _ = parse(&head[..cut.min(head.len())]);
        }
    }

    /// A binary of 64 bits with one program header, which names a loader.
    fn head_64(path: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 120];
        head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        (head[16], head[18], head[32], head[54], head[56]) = (3, 62, 64, 56, 1);
        (head[64], head[72], head[96]) = (3, 120, path.len() as u8);
        head.extend_from_slice(path);
        head
    }
}
