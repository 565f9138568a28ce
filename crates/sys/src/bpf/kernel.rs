//! A walk over the sockets of a network namespace within the kernel (`bpf_iter_tcp`,
//! `bpf_iter_udp`), which returns those that the kernel itself made.

use super::layout::{Type, Types, layouts};
use super::program::{Program, R0, R1, R2, R3, R4, R5, R6, R9, R10, Size};
use crate::Error;

/// A socket that no program made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSocket {
    /// Its cookie.
    pub cookie: u64,
    /// The function of the kernel that gets what it receives, such as `vxlan_rcv`.
    pub function: String,
}

/// Which sockets to walk over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Those of TCP that listen.
    Tcp,
    /// Those of UDP.
    Udp,
}

/// Returns the sockets of the kernel itself in the network namespace of the calling thread. Needs
/// what [`super::task_file::sockets`] needs.
///
/// # Errors
/// Those of [`super::task_file::sockets`].
pub fn sockets(protocol: Protocol) -> Result<Vec<KernelSocket>, Error> {
    let layout = layouts()?.kernel.as_ref().map_err(Clone::clone)?;
    let written = match protocol {
        // Those that listen come first; the others may be very many.
        Protocol::Tcp => {
            layout.tcp().run_until(layout.tcp_iterator, |bytes| bytes.ends_with(&[END]))?
        }
        Protocol::Udp => layout.udp().run(layout.udp_iterator)?,
    };
    Ok(parse(&written))
}

/// What is written when the sockets that listen are over.
const END: u8 = 0;

/// Reads lines such as `1f vxlan_rcv [vxlan]`.
fn parse(written: &[u8]) -> Vec<KernelSocket> {
    let socket = |line: &str| {
        let mut words = line.split(' ');
        let cookie = u64::from_str_radix(words.next()?, 16).ok()?;
        Some(KernelSocket { cookie, function: words.next()?.to_owned() })
    };
    String::from_utf8_lossy(written).lines().filter_map(socket).collect()
}

/// Where the kernel keeps what is asked for.
pub(super) struct Layout {
    tcp_iterator: u32,
    udp_iterator: u32,
    state: i16,
    cookie: i16,
    /// The byte that says whether the kernel made it, and the bit.
    of_kernel: (i16, u32),
    data_ready: i16,
    encap_rcv: i16,
}

impl Layout {
    pub(super) fn read(types: &Types<'_>) -> Result<Layout, Error> {
        let (byte, shift, _) = types.bit_field(Type::Sock, &["sk_kern_sock"])?;
        // A socket of either protocol begins with a plain one.
        types.begins_with(Type::TcpSock, &["inet_conn", "icsk_inet", "sk"])?;
        types.begins_with(Type::UdpSock, &["inet", "sk"])?;
        let cookie = ["__sk_common", "skc_cookie", "counter"];
        Ok(Layout {
            tcp_iterator: types.id(Type::IterTcp)?,
            udp_iterator: types.id(Type::IterUdp)?,
            state: types.offset(Type::Sock, &["__sk_common", "skc_state"], 1)?,
            cookie: types.offset(Type::Sock, &cookie, 8)?,
            of_kernel: (byte, 1 << shift),
            data_ready: types.offset(Type::Sock, &["sk_data_ready"], 8)?,
            encap_rcv: types.offset(Type::UdpSock, &["encap_rcv"], 8)?,
        })
    }

    fn tcp(&self) -> Program {
        const SKC_TO_TCP_SOCK: i32 = 137;
        const SEQ_WRITE: i32 = 127;
        const LISTEN: u32 = 10;
        let mut p = Program::default();
        // The context: meta and the socket.
        p.load(Size::Double, R6, R1, 0);
        p.load(Size::Double, R1, R1, 8);
        p.end_if_zero(R1);
        p.load(Size::Byte, R2, R1, self.state);
        let listens = p.skip_if(R2, LISTEN);
        p.set(R2, END.into());
        p.store(Size::Byte, R10, -8, R2);
        p.load(Size::Double, R1, R6, 0);
        p.set_place(R2, -8);
        p.set(R3, 1);
        p.call(SEQ_WRITE);
        p.set(R0, 0);
        p.end_if_zero(R0);
        p.land(listens);
        p.call(SKC_TO_TCP_SOCK);
        p.end_if_zero(R0);
        p.copy(R9, R0);
        self.print(&mut p, self.data_ready);
        p
    }

    fn udp(&self) -> Program {
        let mut p = Program::default();
        p.load(Size::Double, R6, R1, 0);
        p.load(Size::Double, R9, R1, 8);
        p.end_if_zero(R9);
        self.print(&mut p, self.encap_rcv);
        p
    }

    /// Writes the cookie of the socket in R9 and the name of a function it points to, if the kernel
    /// made it. R6 has the context's meta.
    fn print(&self, p: &mut Program, function: i16) {
        const SEQ_PRINTF: i32 = 126;
        const FORMAT: &[u8; 16] = b"%llx %ps\n\0\0\0\0\0\0\0";
        p.load(Size::Byte, R1, R9, self.of_kernel.0);
        p.and(R1, self.of_kernel.1);
        p.end_if_zero(R1);
        for (at, half) in FORMAT.chunks_exact(8).enumerate() {
            let half = u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|byte| half[byte]));
            p.set_double(R1, half);
            p.store(Size::Double, R10, -32 + 8 * at as i16, R1);
        }
        p.load(Size::Double, R1, R9, self.cookie);
        p.store(Size::Double, R10, -16, R1);
        p.load(Size::Double, R1, R9, function);
        p.store(Size::Double, R10, -8, R1);
        p.load(Size::Double, R1, R6, 0);
        p.copy(R2, R10);
        p.add(R2, -32);
        p.set(R3, FORMAT.len() as i32);
        p.copy(R4, R10);
        p.add(R4, -16);
        p.set(R5, 16);
        p.call(SEQ_PRINTF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let read = parse(b"1f vxlan_rcv [vxlan]\nx y\n\n2 0x0\n");
        let read: Vec<_> = read.iter().map(|s| (s.cookie, s.function.as_str())).collect();
        assert_eq!(read, [(31, "vxlan_rcv"), (2, "0x0")]);
    }
}
