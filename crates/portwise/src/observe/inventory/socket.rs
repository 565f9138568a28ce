//! One socket of an inventory, and who holds it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use portwise_model::Family;

/// The protocol of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP. Connections within an MPTCP one are of this protocol too.
    Tcp,
    /// UDP.
    Udp,
    /// UDP-Lite.
    UdpLite,
    /// A raw socket; its protocol is in [`Socket::raw`].
    Raw,
    /// Multipath TCP.
    Mptcp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 5] =
        [Transport::Tcp, Transport::Udp, Transport::UdpLite, Transport::Raw, Transport::Mptcp];

    /// Its name: `tcp`, `udp`, `udplite`, `raw`, `mptcp`.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::UdpLite => "udplite",
            Transport::Raw => "raw",
            Transport::Mptcp => "mptcp",
        }
    }
}

/// The state of a socket, in TCP's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Listening.
    Listen,
    /// Bound, neither listening nor connected; for UDP and raw sockets: not connected.
    Bound,
    /// Connected.
    Established,
    /// Connecting.
    SynSent,
    /// A client has begun to connect.
    SynRecv,
    /// Closed by this side, not acknowledged.
    FinWait1,
    /// Closed by this side, acknowledged.
    FinWait2,
    /// Gone, but the kernel keeps the port.
    TimeWait,
    /// Closed by the other side only.
    CloseWait,
    /// Closed by both sides, the other one first.
    LastAck,
    /// Closed by both sides at once.
    Closing,
    /// A number the kernel gave that is none of these.
    Other(u8),
}

impl State {
    /// Its name in the kernel, without prefix; `BOUND` and `OTHER` are not the kernel's.
    pub const fn name(self) -> &'static str {
        match self {
            State::Listen => "LISTEN",
            State::Bound => "BOUND",
            State::Established => "ESTABLISHED",
            State::SynSent => "SYN_SENT",
            State::SynRecv => "SYN_RECV",
            State::FinWait1 => "FIN_WAIT1",
            State::FinWait2 => "FIN_WAIT2",
            State::TimeWait => "TIME_WAIT",
            State::CloseWait => "CLOSE_WAIT",
            State::LastAck => "LAST_ACK",
            State::Closing => "CLOSING",
            State::Other(_) => "OTHER",
        }
    }
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its protocol.
    pub transport: Transport,
    /// The protocol number a raw socket was made with.
    pub raw: Option<u8>,
    /// Its family. A socket of IPv6 may serve IPv4 too, see [`Socket::v6only`].
    pub family: Family,
    /// Its state.
    pub state: State,
    /// Its local address, unspecified for a wildcard.
    pub ip: IpAddr,
    /// Its local port; 0 for raw sockets.
    pub port: u16,
    /// The other end of its connection.
    pub remote: Option<SocketAddr>,
    /// The interface it is bound to (`SO_BINDTODEVICE`, or the zone of a link-local address): its
    /// number in its namespace, 0 if to none.
    pub device: u32,
    /// The name of that interface.
    pub device_name: Option<String>,
    /// `IPV6_V6ONLY` of an IPv6 socket, where it is known. True for one bound to a specific IPv6
    /// address.
    pub v6only: Option<bool>,
    /// `SO_REUSEADDR`, where it is known: seen by BPF only.
    pub reuseaddr: Option<bool>,
    /// `SO_REUSEPORT`, where it is known: seen by BPF, and evident of listeners that share a
    /// port.
    pub reuseport: Option<bool>,
    /// The number of its group, if it shares address and port with others by `SO_REUSEPORT`: the
    /// same in all sockets of the group, in this inventory only.
    pub group: Option<u32>,
    /// The user who owns it, if it is open; as this process's user namespace counts.
    pub uid: Option<u32>,
    /// The inode that `/proc/PID/fd` shows; `None` if no file belongs to it (any more, or yet).
    pub inode: Option<u64>,
    /// The number the kernel gave it, unique until the next boot.
    pub cookie: u64,
    /// Bytes not yet read; of a listener the connections not yet accepted.
    pub rqueue: u32,
    /// Bytes not yet acknowledged; of a TCP listener the most connections that may wait.
    pub wqueue: u32,
    /// How long it will stay as it is, where the kernel says so: of [`State::TimeWait`] and of
    /// [`State::FinWait2`] without a process, until it is gone.
    pub remaining: Option<Duration>,
    /// The inode of the cgroup (version 2) of its maker.
    pub cgroup: Option<u64>,
    /// The inode of its network namespace.
    pub netns: u64,
    /// The descriptors that refer to it, by pid. Several processes may hold one socket, and one
    /// process several descriptors of it.
    pub holders: Vec<Holder>,
    /// Why there are no [`Socket::holders`].
    pub no_holder: Option<NoHolder>,
}

impl Socket {
    /// Its local address and port. A link-local address has its zone.
    pub fn local(&self) -> SocketAddr {
        match self.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                std::net::SocketAddrV6::new(ip, self.port, 0, self.device).into()
            }
            ip => SocketAddr::new(ip, self.port),
        }
    }

    /// The processes that hold it, each once.
    pub fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        let is_first = |&(at, holder): &(usize, &Holder)| {
            !self.holders[..at].iter().any(|before| before.pid == holder.pid)
        };
        self.holders.iter().enumerate().filter(is_first).map(|(_, holder)| holder.pid)
    }

    /// Whether it is bound or listening, not a connection or what is left of one.
    pub fn is_bound(&self) -> bool {
        matches!(self.state, State::Listen | State::Bound)
    }
}

/// A descriptor that refers to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// The process, in this pid namespace.
    pub pid: u32,
    /// When it started, in clock ticks since boot: tells it from another one with its number.
    pub start: u64,
    /// The descriptor's number there.
    pub fd: u32,
    /// What that descriptor is.
    pub how: How,
}

/// How a process holds a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// It has it open.
    Open,
    /// It was sent the descriptor and has not received it: [`Holder::fd`] is the Unix socket in
    /// whose queue it waits.
    InFlight,
}

/// Why a socket has no holders. It never means that nobody holds it unless it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoHolder {
    /// Nobody looked.
    NotAsked,
    /// The process has closed it; the kernel finishes the connection, or remembers it.
    Closed,
    /// A connection that its listener has not accepted yet.
    NotAccepted,
    /// It belongs to the kernel.
    Kernel(KernelUse),
    /// Some processes may not be looked into ([`super::Unseen`]): one of them may hold it.
    Unseen,
    /// Every process was looked into and none has it open: it is the kernel's, a message between
    /// processes carries it, or an io_uring has it registered.
    NotFound,
}

/// What a socket of the kernel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelUse {
    /// A part of a multipath connection or listener, whose own socket is listed as `mptcp`.
    Mptcp,
    /// The NFS server, or another service of the kernel's RPC.
    Nfsd,
    /// A WireGuard interface.
    WireGuard,
    /// An OpenVPN interface.
    OpenVpn,
    /// A VXLAN interface.
    Vxlan,
    /// A Geneve interface.
    Geneve,
    /// A tunnel of L2TP.
    L2tp,
    /// A tunnel of FOU or GUE.
    Fou,
    /// A tunnel of GTP.
    Gtp,
    /// A bare UDP tunnel.
    Bareudp,
    /// RxRPC, as AFS uses it.
    Rxrpc,
    /// RDMA over Ethernet.
    Rdma,
    /// TIPC over UDP.
    Tipc,
    /// The lock manager of a cluster.
    Dlm,
    /// OCFS2, the file system of a cluster.
    Ocfs2,
    /// NVMe over TCP.
    Nvme,
    /// RDS, the reliable datagrams of Oracle's clusters.
    Rds,
    /// Not known.
    Other,
}

impl KernelUse {
    /// A name for it in words.
    pub const fn name(self) -> &'static str {
        match self {
            KernelUse::Mptcp => "part of an MPTCP socket",
            KernelUse::Nfsd => "NFS server or other RPC service",
            KernelUse::WireGuard => "WireGuard",
            KernelUse::OpenVpn => "OpenVPN",
            KernelUse::Vxlan => "VXLAN",
            KernelUse::Geneve => "Geneve",
            KernelUse::L2tp => "L2TP",
            KernelUse::Fou => "FOU",
            KernelUse::Gtp => "GTP",
            KernelUse::Bareudp => "bareudp",
            KernelUse::Rxrpc => "RxRPC (AFS)",
            KernelUse::Rdma => "RDMA over Ethernet",
            KernelUse::Tipc => "TIPC",
            KernelUse::Dlm => "DLM",
            KernelUse::Ocfs2 => "OCFS2",
            KernelUse::Nvme => "NVMe over TCP",
            KernelUse::Rds => "RDS",
            KernelUse::Other => "kernel",
        }
    }
}
