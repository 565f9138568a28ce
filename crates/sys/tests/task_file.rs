//! The walk over all open files within the kernel, where this user may ask for it.
#![cfg(target_os = "linux")]

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use portwise_sys::bpf::task_file::{Filter, OpenSocket, sockets};
use portwise_sys::ns::{self, Kind};
use portwise_sys::proc::Proc;

/// The sockets of this process; `None` if it may not ask.
fn mine(filter: &Filter) -> Option<Vec<OpenSocket>> {
    match sockets(filter, 0) {
        Ok(mut found) => {
            found.retain(|socket| socket.pid == std::process::id());
            Some(found)
        }
        Err(error) => {
            portwise_sys::not_run!("{error}");
            None
        }
    }
}

fn inode(socket: &impl AsRawFd) -> u64 {
    std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap().ino()
}

#[test]
fn open_sockets_are_found() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let udp = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let Some(found) = mine(&Filter::default()) else { return };
    let netns = ns::own_id(Kind::Net).unwrap().inode;
    let of = |fd: i32| found.iter().find(|socket| socket.fd == fd.cast_unsigned()).unwrap();
    for (fd, inode) in [
        (listener.as_raw_fd(), inode(&listener)),
        (udp.as_raw_fd(), inode(&udp)),
        (client.as_raw_fd(), inode(&client)),
    ] {
        assert_eq!((of(fd).inode, u64::from(of(fd).netns)), (inode, netns));
        assert!(!of(fd).reuseport);
        assert_eq!(of(fd).group, 0);
    }
    // The standard library sets it on listeners.
    assert!(of(listener.as_raw_fd()).reuseaddr && !of(udp.as_raw_fd()).reuseaddr);
    // The kernel sets it when one address is bound.
    assert!(of(udp.as_raw_fd()).v6only && !of(client.as_raw_fd()).v6only);
    let ticks = Proc::default().stat(std::process::id()).unwrap().start_ticks;
    assert_eq!(of(udp.as_raw_fd()).start / 10_000_000, ticks);
}

#[test]
fn filters_leave_the_rest_out() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let accepted = listener.accept().unwrap().0;
    let fds = |filter: &Filter| -> Option<Vec<u32>> {
        let mut fds: Vec<u32> = mine(filter)?.iter().map(|socket| socket.fd).collect();
        fds.sort_unstable();
        Some(fds)
    };
    let fd = |socket: &dyn AsRawFd| socket.as_raw_fd().cast_unsigned();
    let port = Filter { port: Some(address.port()), ..Filter::default() };
    let Some(found) = fds(&port) else { return };
    // Other tests of this process open and close descriptors too: any number may be the lower one.
    let mut both = [fd(&listener), fd(&accepted)];
    both.sort_unstable();
    assert_eq!(found, both);
    let unconnected = Filter { unconnected: true, ..port };
    assert_eq!(fds(&unconnected).unwrap(), [fd(&listener)]);
    let elsewhere = Filter { netns: Some(1), ..port };
    assert_eq!(fds(&elsewhere).unwrap(), [0u32; 0]);
    let here = ns::own_id(Kind::Net).unwrap().inode as u32;
    let here = Filter { netns: Some(here), ..Filter::default() };
    assert!(fds(&here).unwrap().contains(&fd(&client)));
}

#[test]
fn processes_are_in_network_namespaces() {
    let found = match portwise_sys::bpf::tasks::network_namespaces() {
        Ok(found) => found,
        Err(error) => return portwise_sys::not_run!("{error}"),
    };
    let own = ns::own_id(Kind::Net).unwrap().inode;
    let me = found.iter().find(|found| found.pid == std::process::id()).unwrap();
    assert_eq!(u64::from(me.netns), own);
    // One row for each process, whatever its threads do.
    assert!(found.is_sorted_by(|a, b| a.pid < b.pid));
}
