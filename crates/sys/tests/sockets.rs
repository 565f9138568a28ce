//! The thin socket calls, on loopback, as whoever runs the test.
#![cfg(target_os = "linux")]

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use portwise_sys::Errno;
use portwise_sys::pidfd::PidFd;
use portwise_sys::sock::{Address, Socket, SocketOption};

const SHORT: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
const STREAM: i32 = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;

fn any_port(text: &str) -> Address {
    Address::new(text.parse().unwrap())
}

fn listener() -> (Socket, Address) {
    let made = Socket::new(libc::AF_INET, STREAM, 0).unwrap();
    made.bind(&any_port("127.0.0.1:0")).unwrap();
    made.listen(1).unwrap();
    let address = made.local_address().unwrap();
    (made, address)
}

#[test]
fn addresses_keep_their_bytes() {
    for text in ["127.0.0.1:80", "[fe80::1%7]:8080", "[::]:0"] {
        let address = any_port(text);
        assert_eq!(address.to_socket_addr(), Some(text.parse().unwrap()));
        assert_eq!(Address::from_bytes(address.as_bytes()), Some(address));
    }
    assert_eq!(any_port("[::1]:80").with_length(24).as_bytes().len(), 24);
    assert_eq!(any_port("[::1]:80").with_length(7).to_socket_addr(), None);
    assert_eq!(any_port("[::1]:80").with_length(300).as_bytes().len(), 128);
    assert_eq!(Address::from_bytes(&[0; 129]), None);
    assert_eq!(Address::from_bytes(&[1]).unwrap().to_socket_addr(), None);
}

#[test]
fn wrong_addresses_reach_the_kernel() {
    let made = Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    let right = any_port("127.0.0.1:0");
    assert_eq!(made.bind(&right.with_length(8)), Err(Errno::EINVAL));
    assert_eq!(made.bind(&right.with_length(129)), Err(Errno::EINVAL));
    assert_eq!(made.bind(&right.with_family(200)), Err(Errno::EAFNOSUPPORT));
    assert_eq!(made.bind(&right.with_length(20)), Ok(()));
}

#[test]
fn a_connection_carries_bytes() {
    let (server, address) = listener();
    let client = Socket::new(libc::AF_INET, STREAM, 0).unwrap();
    client.connect_within(&address, SECOND).unwrap();
    let (accepted, peer) = server.accept_within(SECOND).unwrap();
    assert_eq!(peer, client.local_address().unwrap());
    assert_eq!(accepted.peer_address().unwrap(), peer);
    assert_eq!(client.send(b"hello"), Ok(5));
    let mut buffer = [0; 16];
    assert_eq!(accepted.recv_within(&mut buffer, SECOND).unwrap().0, 5);
    assert_eq!(&buffer[..5], b"hello");
    client.shutdown(libc::SHUT_WR).unwrap();
    assert_eq!(accepted.recv(&mut buffer), Ok(0));
    assert_eq!(client.recv(&mut buffer), Err(Errno::EAGAIN));
    assert_eq!(client.connect(&address), Err(Errno::EISCONN));
}

#[test]
fn nobody_there_is_refused_and_nobody_comes() {
    let (server, address) = listener();
    let started = Instant::now();
    assert_eq!(server.accept_within(SHORT).unwrap_err(), Errno::EAGAIN);
    assert!(started.elapsed() >= SHORT);
    drop(server);
    let client = Socket::new(libc::AF_INET, STREAM, 0).unwrap();
    assert_eq!(client.connect_within(&address, SECOND), Err(Errno::ECONNREFUSED));
}

#[test]
fn datagrams_tell_their_sender() {
    let receiver = Socket::new(libc::AF_INET6, libc::SOCK_DGRAM, 0).unwrap();
    receiver.bind(&any_port("[::1]:0")).unwrap();
    let sender = Socket::new(libc::AF_INET6, libc::SOCK_DGRAM, 0).unwrap();
    sender.bind(&any_port("[::1]:0")).unwrap();
    sender.send_to(b"x", &receiver.local_address().unwrap()).unwrap();
    let mut buffer = [0; 4];
    let (length, from) = receiver.recv_within(&mut buffer, SECOND).unwrap();
    assert_eq!((length, from), (1, sender.local_address().unwrap()));
    assert_eq!(receiver.recv_within(&mut buffer, SHORT).unwrap_err(), Errno::EAGAIN);
}

#[test]
fn options_are_set_and_read() {
    let made = Socket::new(libc::AF_INET6, libc::SOCK_STREAM, 0).unwrap();
    for option in [
        SocketOption::SO_REUSEADDR,
        SocketOption::SO_REUSEPORT,
        SocketOption::SO_BROADCAST,
        SocketOption::IPV6_V6ONLY,
        SocketOption::IPV6_FREEBIND,
        SocketOption::IP_FREEBIND,
        SocketOption::IP_BIND_ADDRESS_NO_PORT,
    ] {
        made.set(option, 1).unwrap();
        assert_eq!(made.get(option), Ok(1), "{}", option.name);
        made.set(option, 0).unwrap();
        assert_eq!(made.get(option), Ok(0), "{}", option.name);
    }
    assert_eq!(made.get(SocketOption::SO_DOMAIN), Ok(libc::AF_INET6));
    assert_eq!(made.get(SocketOption::SO_TYPE), Ok(libc::SOCK_STREAM));
    assert_eq!(made.get(SocketOption::SO_PROTOCOL), Ok(libc::IPPROTO_TCP));
    assert_eq!(made.get(SocketOption::SO_ACCEPTCONN), Ok(0));
    assert_eq!(made.get(SocketOption::SO_BINDTOIFINDEX), Ok(0));
    assert_eq!(made.get(SocketOption::SO_ERROR), Ok(0));
    assert_eq!(made.set_linger(Some(0)), Ok(()));
    assert_eq!(made.bind_to_device(b"no-such-device"), Err(Errno::ENODEV));
    let range = SocketOption::IP_LOCAL_PORT_RANGE;
    match made.set(range, 40_001 << 16 | 40_000) {
        Err(Errno::ENOPROTOOPT) => portwise_sys::not_run!("no IP_LOCAL_PORT_RANGE in this kernel"),
        outcome => {
            assert_eq!(outcome, Ok(()));
            assert_eq!(made.get(range), Ok(40_001 << 16 | 40_000));
        }
    }
}

#[test]
fn a_socket_of_another_process_is_looked_at() {
    let (server, _) = listener();
    let process = PidFd::open(std::process::id()).unwrap();
    // One's own process: allowed to everyone.
    let fetched = process.get_fd(server_fd(&server)).unwrap();
    let fetched = Socket::from(fetched);
    assert_eq!(fetched.cookie(), server.cookie());
    assert_eq!(fetched.inode(), server.inode());
    assert_eq!(process.get_fd(1_000_000).unwrap_err().errno, Errno::EBADF);
    process.send_signal(0).unwrap();
    assert!(!process.wait(SHORT).unwrap());
    assert_eq!(PidFd::open(0).unwrap_err().errno, Errno::EINVAL);
}

fn server_fd(server: &Socket) -> u32 {
    use std::os::fd::AsFd;
    server.as_fd().as_raw_fd() as u32
}

#[test]
fn an_ended_process_is_waited_for_and_cannot_be_signalled() {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let process = PidFd::open(child.id()).unwrap();
    process.send_signal(libc::SIGTERM).unwrap();
    assert!(process.wait(SECOND).unwrap());
    child.wait().unwrap();
    assert_eq!(process.send_signal(libc::SIGTERM).unwrap_err().errno, Errno::ESRCH);
}
