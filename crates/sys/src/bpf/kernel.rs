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

/// Returns those sockets of the network namespace of the calling thread that have one of these
/// cookies and that the kernel itself made. Needs what [`super::task_file::sockets`] needs.
///
/// # Errors
/// Those of [`super::task_file::sockets`].
pub fn sockets(protocol: Protocol, cookies: &[u64]) -> Result<Vec<KernelSocket>, Error> {
    // A program compares each socket with a few of them; of more it returns all that the kernel
    // made.
    const FEW: usize = 16;
    let layout = layouts()?.kernel.as_ref().map_err(Clone::clone)?;
    let few = if cookies.len() <= FEW { cookies } else { &[] };
    let is_enough = |bytes: &[u8]| {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        // Those that listen come first; the others may be very many.
        bytes.ends_with(&[END]) || lines == few.len() && !few.is_empty()
    };
    let written = match protocol {
        Protocol::Tcp => layout.tcp(few).run_until(layout.tcp_iterator, is_enough)?,
        Protocol::Udp => layout.udp(few).run_until(layout.udp_iterator, is_enough)?,
    };
    let mut found = parse(&written);
    found.retain(|socket| cookies.contains(&socket.cookie));
    Ok(found)
}

/// What is written when the sockets that listen are over.
const END: u8 = 0;

/// What is written in place of a function for a socket that the kernel did not make, if it was
/// looked for.
const NOT_ITS_OWN: (i32, &str) = (1, "0x1");

/// Reads lines such as `1f vxlan_rcv [vxlan]`.
fn parse(written: &[u8]) -> Vec<KernelSocket> {
    let socket = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let cookie = u64::from_str_radix(words.next()?, 16).ok()?;
        let function = words.next().filter(|function| *function != NOT_ITS_OWN.1)?;
        Some(KernelSocket { cookie, function: function.to_owned() })
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

    fn tcp(&self, cookies: &[u64]) -> Program {
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
        self.print(&mut p, self.data_ready, cookies);
        p
    }

    fn udp(&self, cookies: &[u64]) -> Program {
        let mut p = Program::default();
        p.load(Size::Double, R6, R1, 0);
        p.load(Size::Double, R9, R1, 8);
        p.end_if_zero(R9);
        self.print(&mut p, self.encap_rcv, cookies);
        p
    }

    /// Writes the cookie of the socket in R9 and the name of a function it points to, if the kernel
    /// made it. With cookies: that of a socket which has one of them, whoever made it, and of no
    /// other. R6 has the context's meta.
    fn print(&self, p: &mut Program, function: i16, cookies: &[u64]) {
        const SEQ_PRINTF: i32 = 126;
        // A line is as long as what is read at once, so that each is read when it is written.
        const FORMAT: &[u8; 16] = b"%16llx %ps\n\0\0\0\0\0";
        p.load(Size::Double, R1, R9, self.cookie);
        p.store(Size::Double, R10, -16, R1);
        if let [others @ .., last] = cookies {
            let mut known = Vec::new();
            for cookie in others {
                p.set_double(R2, *cookie);
                known.push(p.skip_if_same(R1, R2));
            }
            p.set_double(R2, *last);
            p.end_unless_same(R1, R2);
            known.into_iter().for_each(|skip| p.land(skip));
        }
        let (halves, _) = FORMAT.as_chunks::<8>();
        for (at, half) in halves.iter().enumerate() {
            p.set_double(R1, u64::from_ne_bytes(*half));
            p.store(Size::Double, R10, -32 + 8 * at as i16, R1);
        }
        p.load(Size::Byte, R1, R9, self.of_kernel.0);
        p.and(R1, self.of_kernel.1);
        if cookies.is_empty() {
            p.end_if_zero(R1);
        }
        let of_others = p.skip_if_zero(R1);
        p.load(Size::Double, R2, R9, function);
        let both = p.skip();
        p.land(of_others);
        p.set(R2, NOT_ITS_OWN.0);
        p.land(both);
        p.store(Size::Double, R10, -8, R2);
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
        let read = parse(b"      1f vxlan_rcv [vxlan]\nx y\n\n  3 0x1\n   2 0x0\n");
        let read: Vec<_> = read.iter().map(|s| (s.cookie, s.function.as_str())).collect();
        assert_eq!(read, [(31, "vxlan_rcv"), (2, "0x0")]);
    }
}
