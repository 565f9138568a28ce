//! cmsg(3): descriptors that go from one process to another (`SCM_RIGHTS`).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::Errno;

/// Sends four bytes, and a descriptor if there is one. Allocates nothing.
///
/// # Errors
/// Those of sendmsg(2).
pub fn send(over: impl AsFd, bytes: [u8; 4], fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = fd.as_slice();
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(over, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)
        .map(drop)
        .map_err(|errno| Errno(errno.raw_os_error()))
}

/// Four bytes, and a descriptor if one came with them.
pub type Received = ([u8; 4], Option<OwnedFd>);

/// Receives what [`send`] sent; `None` when the other side is closed.
///
/// # Errors
/// Those of recvmsg(2).
pub fn receive(over: impl AsFd) -> Result<Option<Received>, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 4];
    let received = loop {
        let into = &mut [IoSliceMut::new(&mut bytes)];
        match recvmsg(&over, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other.map_err(|errno| Errno(errno.raw_os_error()))?,
        }
    };
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((received.bytes == 4).then_some((bytes, fd)))
}
