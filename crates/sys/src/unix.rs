//! unix(7): sockets in whose queues descriptors may wait to be received, and which those are.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use crate::netlink::{NETLINK_SOCK_DIAG, Netlink, Request, attributes, u32_at};
use crate::sock::{Socket, SocketOption};
use crate::{Errno, Error};

/// Lists the Unix sockets of the thread's network namespace that have received something nobody
/// has read, by inode. Needs no privilege.
///
/// # Errors
/// `ENOENT` if this kernel cannot list Unix sockets.
pub fn with_messages() -> Result<Vec<u64>, Error> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const SHOW_QUEUES: u32 = 0x10;
    const QUEUES: u16 = 4;
    // What waits at a listening one are connections.
    const NOT_LISTENING: u32 = !(1 << 10);
    let mut request = [0; 24];
    request[0] = libc::AF_UNIX as u8;
    request[4..8].copy_from_slice(&NOT_LISTENING.to_ne_bytes());
    request[12..16].copy_from_slice(&SHOW_QUEUES.to_ne_bytes());
    let mut netlink = Netlink::open(NETLINK_SOCK_DIAG, "sock_diag")?;
    netlink.dump(&Request::new(SOCK_DIAG_BY_FAMILY, &request), |message| {
        let inode = u32_at(message.payload, 4);
        let mut rest = attributes(message.payload.get(16..).unwrap_or_default());
        let queued = rest.find(|attribute| attribute.kind == QUEUES).and_then(|a| a.u32());
        Ok(inode.filter(|_| queued.is_some_and(|bytes| bytes > 0)).map(u64::from))
    })
}

/// Returns copies of the descriptors that the next message with any carries to a Unix socket. The
/// message stays where it is.
///
/// Of datagrams only the first is looked at, and of a stream its first 64 KB.
///
/// # Errors
/// `EAGAIN` if there is no message; `EBUSY` if looking would move where the owner looks next
/// (`SO_PEEK_OFF`); `EAFNOSUPPORT` if it is no Unix socket; `EMFILE`.
pub fn peek_descriptors(socket: &Socket) -> Result<Vec<OwnedFd>, Errno> {
    // As many as one message can carry.
    const MOST: usize = 253;
    if socket.get(SocketOption::SO_DOMAIN)? != libc::AF_UNIX {
        return Err(Errno::EAFNOSUPPORT);
    }
    if socket.get(SocketOption::SO_PEEK_OFF)? >= 0 {
        return Err(Errno::EBUSY);
    }
    let mut bytes = vec![0; 64 * 1024];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST)) + 256];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)
        .map_err(|errno| Errno(errno.raw_os_error()))?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    match descriptors.is_empty() && received.flags.contains(ReturnFlags::CTRUNC) {
        true => Err(Errno::EMFILE),
        false => Ok(descriptors),
    }
}

/// A Unix socket as unix_diag lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// Its number.
    pub inode: u64,
    /// `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_SEQPACKET`.
    pub kind: u8,
    /// Whether it listens.
    pub listens: bool,
    /// Its name as it was given to bind(2); an abstract one starts with a NUL byte.
    pub name: Option<Vec<u8>>,
    /// The file that bind(2) made: its inode, and the device of its file system as stat(2) shows
    /// it.
    pub file: Option<(u64, u64)>,
    /// Of one that listens: how many connections wait, and how many may.
    pub queue: Option<(u32, u32)>,
}

/// Lists the Unix sockets of the thread's network namespace that have a name. Needs no privilege.
///
/// # Errors
/// `ENOENT` if this kernel cannot list Unix sockets.
pub fn named() -> Result<Vec<UnixSocket>, Error> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const SHOW_NAME: u32 = 1;
    const SHOW_FILE: u32 = 2;
    const SHOW_QUEUES: u32 = 0x10;
    const LISTEN: u8 = 10;
    let mut request = [0; 24];
    request[0] = libc::AF_UNIX as u8;
    request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    request[12..16].copy_from_slice(&(SHOW_NAME | SHOW_FILE | SHOW_QUEUES).to_ne_bytes());
    let mut netlink = Netlink::open(NETLINK_SOCK_DIAG, "sock_diag")?;
    netlink.dump(&Request::new(SOCK_DIAG_BY_FAMILY, &request), |message| {
        let payload = message.payload;
        let (Some(inode), [_, kind, state, ..]) = (u32_at(payload, 4), payload) else {
            return Ok(None);
        };
        let listens = *state == LISTEN;
        let mut socket = UnixSocket {
            inode: inode.into(),
            kind: *kind,
            listens,
            name: None,
            file: None,
            queue: None,
        };
        for attribute in attributes(payload.get(16..).unwrap_or_default()) {
            let pair = || Some((u32_at(attribute.payload, 0)?, u32_at(attribute.payload, 4)?));
            match attribute.kind {
                0 => socket.name = Some(attribute.payload.to_vec()),
                // The kernel's own numbering of devices: 12 bits and 20 bits.
                1 => {
                    let device = |dev: u32| libc::makedev(dev >> 20, dev & 0xf_ffff);
                    socket.file = pair().map(|(inode, dev)| (inode.into(), device(dev)));
                }
                4 => socket.queue = pair().filter(|_| listens),
                _ => {}
            }
        }
        Ok(socket.name.is_some().then_some(socket))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    fn inode(fd: impl AsFd) -> u64 {
        rustix::fs::fstat(fd).unwrap().st_ino
    }

    #[test]
    fn descriptors_under_way_are_seen_and_stay() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let there = Socket::from(OwnedFd::from(there));
        assert_eq!(peek_descriptors(&there).unwrap_err(), Errno::EAGAIN);
        let sent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        here.write_all(b"before").unwrap();
        assert!(peek_descriptors(&there).unwrap().is_empty());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        let fds = [sent.as_fd()];
        assert!(rights.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&here, &[IoSlice::new(b"x")], &mut rights, SendFlags::empty()).unwrap();
        for _ in 0..2 {
            let seen = peek_descriptors(&there).unwrap();
            assert_eq!(seen.iter().map(inode).collect::<Vec<_>>(), [inode(&sent)]);
        }
        let listed = with_messages().unwrap();
        assert!(listed.contains(&inode(&there)) && !listed.contains(&inode(&here)));
        let sent = Socket::from(OwnedFd::from(sent));
        assert_eq!(peek_descriptors(&sent).unwrap_err(), Errno::EAFNOSUPPORT);
    }
}
