//! Subjects that people ask about, across kernels: which rules and steps of a lookup say how each
//! kernel handles one.

/// One subject.
#[derive(Debug)]
pub struct Topic {
    /// What it is called, such as `reserved-port`.
    pub id: &'static str,
    /// The question, one line.
    pub title: &'static str,
    /// The ids of rules and steps that answer it. A kernel without any has no rule of its own.
    pub ids: &'static [&'static str],
}

/// Every subject.
pub static TOPICS: &[Topic] = &[
    Topic {
        id: "reserved-port",
        title: "who may bind a low port",
        ids: &[
            "linux.bind.reserved-port",
            "xnu.bind.reserved-port",
            "freebsd.bind.reserved-port",
            "openbsd.bind.reserved-port",
            "netbsd.bind.reserved-port",
            "illumos.bind.reserved-port",
        ],
    },
    Topic {
        id: "local-address",
        title: "which addresses may be bound",
        ids: &[
            "linux.bind.local-address",
            "linux.bind.assigned-address",
            "xnu.bind.local-address",
            "xnu.bind.local-address6",
            "freebsd.bind.local-address",
            "freebsd.bind.local-address6",
            "openbsd.bind.local-address",
            "openbsd.bind.local-address6",
            "netbsd.bind.local-address",
            "illumos.bind.local-address",
            "windows.bind.local-address",
        ],
    },
    Topic {
        id: "address-in-use",
        title: "when another socket is in the way",
        ids: &[
            "linux.bind.port-taken",
            "linux.bind.udp-port-taken",
            "linux.listen.port-taken",
            "xnu.bind.port-taken",
            "xnu.bind.port-taken6",
            "freebsd.bind.port-taken",
            "openbsd.bind.port-taken",
            "netbsd.bind.port-taken",
            "illumos.bind.port-taken",
            "windows.bind.in-use",
            "windows.bind.exclusive",
        ],
    },
    Topic {
        id: "other-user",
        title: "whether the socket of another user is in the way",
        ids: &[
            "xnu.bind.other-user",
            "xnu.bind.other-user6",
            "freebsd.bind.other-user",
            "openbsd.bind.other-user",
            "netbsd.bind.other-user",
            "windows.bind.exclusive",
        ],
    },
    Topic {
        id: "dual-stack",
        title: "what an IPv6 socket means for IPv4",
        ids: &[
            "linux.bind.mapped-v6only",
            "linux.lookup.wildcard",
            "xnu.bind.port-taken-dual-stack",
            "xnu.lookup.dual-stack",
            "freebsd.bind.port-taken-dual-stack",
            "openbsd.bind.mapped",
            "netbsd.bind.mapped-taken",
            "illumos.bind.mapped-v6only",
            "windows.bind.exclusive",
        ],
    },
    Topic {
        id: "reuse",
        title: "what SO_REUSEADDR and SO_REUSEPORT allow",
        ids: &[
            "linux.bind.port-taken",
            "linux.lookup.group",
            "xnu.bind.port-taken",
            "xnu.lookup.specific",
            "freebsd.bind.port-taken",
            "freebsd.lookup.group",
            "openbsd.bind.port-taken",
            "netbsd.bind.port-taken",
            "illumos.bind.port-taken",
            "windows.bind.exclusive",
        ],
    },
    Topic {
        id: "who-wins",
        title: "which socket gets an arriving packet",
        ids: &[
            "linux.lookup.connected",
            "linux.lookup.specific",
            "linux.lookup.wildcard",
            "linux.lookup.group",
            "xnu.lookup.connected",
            "xnu.lookup.specific",
            "xnu.lookup.wildcard",
            "xnu.lookup.dual-stack",
            "freebsd.lookup.connected",
            "freebsd.lookup.group",
            "freebsd.lookup.specific",
            "freebsd.lookup.wildcard",
        ],
    },
    Topic {
        id: "automatic-port",
        title: "what port 0 takes",
        ids: &[
            "linux.bind.automatic-port",
            "xnu.bind.automatic-port",
            "freebsd.bind.automatic-port",
            "openbsd.bind.automatic-port",
            "netbsd.bind.automatic-port",
            "illumos.bind.automatic-port",
        ],
    },
];
