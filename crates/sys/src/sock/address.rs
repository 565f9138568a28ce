//! Socket addresses as bytes, right or wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::size;
use crate::Errno;

/// A socket address as the kernel takes it: bytes and a length, which need not make sense.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address {
    bytes: [u8; 128],
    length: usize,
}

impl Address {
    pub(super) const EMPTY: Address = Address { bytes: [0; 128], length: 0 };

    /// The usual `sockaddr_in` (16 bytes) or `sockaddr_in6` (28 bytes).
    pub fn new(address: SocketAddr) -> Address {
        let (flow, zone) = match address {
            SocketAddr::V4(_) => (0, 0),
            SocketAddr::V6(v6) => (v6.flowinfo(), v6.scope_id()),
        };
        let mut made = Address::EMPTY;
        made.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address.ip() {
            IpAddr::V4(ip) => {
                made.bytes[4..8].copy_from_slice(&ip.octets());
                made.length = 16;
            }
            IpAddr::V6(ip) => {
                made.bytes[4..8].copy_from_slice(&flow.to_be_bytes());
                made.bytes[8..24].copy_from_slice(&ip.octets());
                made.bytes[24..28].copy_from_slice(&zone.to_ne_bytes());
                made.length = 28;
            }
        }
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        made.with_family(family as u16)
    }

    /// Exactly these bytes, at most 128, which is as many as the kernel takes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Address> {
        let mut address = Address { length: bytes.len(), ..Address::EMPTY };
        address.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(address)
    }

    /// The same with another value in the family field.
    #[must_use]
    pub fn with_family(mut self, family: u16) -> Address {
        self.bytes[..2].copy_from_slice(&family.to_ne_bytes());
        self
    }

    /// The same, cut or filled up with zeros to this length. The kernel is told lengths beyond
    /// 128 as they are, and takes none of them.
    #[must_use]
    pub fn with_length(mut self, length: usize) -> Address {
        self.length = length;
        self
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length.min(self.bytes.len())]
    }

    /// Reads an IPv4 or IPv6 address; `None` for another family or too few bytes.
    pub fn to_socket_addr(&self) -> Option<SocketAddr> {
        let bytes = self.as_bytes();
        let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
        match family {
            libc::AF_INET => {
                let ip: &[u8; 4] = bytes.get(4..)?.first_chunk()?;
                Some(SocketAddr::new(Ipv4Addr::from(*ip).into(), port))
            }
            libc::AF_INET6 => {
                let flow = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
                let ip: &[u8; 16] = bytes.get(8..)?.first_chunk()?;
                // The kernel takes addresses without the zone, of 24 bytes.
                let zone = bytes
                    .get(24..28)
                    .and_then(|b| b.first_chunk())
                    .map_or(0, |b| u32::from_ne_bytes(*b));
                Some(SocketAddrV6::new(Ipv6Addr::from(*ip), port, flow, zone).into())
            }
            _ => None,
        }
    }

    pub(super) fn pointer(&self) -> *const libc::sockaddr {
        self.bytes.as_ptr().cast()
    }

    pub(super) fn socklen(&self) -> libc::socklen_t {
        self.length as libc::socklen_t
    }

    /// Lets a call write an address; it gets the buffer and its length.
    #[inline]
    pub(super) fn fill(
        &mut self,
        call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> isize,
    ) -> Result<usize, Errno> {
        let mut length = self.bytes.len() as libc::socklen_t;
        let result = size(call(self.bytes.as_mut_ptr().cast(), &raw mut length))?;
        self.length = length as usize;
        Ok(result)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.to_socket_addr() {
            Some(address) => write!(f, "{address} ({} bytes)", self.length),
            None => write!(f, "{:02x?}", self.as_bytes()),
        }
    }
}
