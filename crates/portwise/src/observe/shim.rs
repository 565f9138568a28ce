//! Libraries that stand between a program and the kernel (`LD_PRELOAD`, ld.so(8)): what the program
//! is told is then not what the kernel says.

/// A library of which it is known what it does to sockets or to the user's own id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shim {
    /// How its file name begins.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    library: &'static str,
    /// What it belongs to.
    pub name: &'static str,
    /// What it does.
    pub does: &'static str,
}

#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
const KNOWN: [Shim; 7] = [
    Shim {
        library: "libfakeroot",
        name: "fakeroot",
        does: "makes the program believe that it is root: `id` says so, and the kernel goes by the \
            real user, who gains no right by it",
    },
    Shim {
        library: "libauthbind",
        name: "authbind",
        does: "hands bind of a port below 1024 to a helper, which allows it to users who may \
            execute the file of the port in /etc/authbind/byport, or whom a file in \
            /etc/authbind/byaddr or byuid names, and else answers EPERM",
    },
    Shim {
        library: "libproxychains",
        name: "proxychains",
        does: "sends connections through a proxy: the kernel connects to the proxy, not to the \
            address that the program names",
    },
    Shim {
        library: "libtorsocks",
        name: "torsocks",
        does: "sends connections through Tor's proxy and keeps the program from listening to other \
            hosts, unless AllowInbound is set in its configuration",
    },
    Shim {
        library: "libtsocks",
        name: "tsocks",
        does: "sends connections through a SOCKS proxy: the kernel connects to the proxy, not to \
            the address that the program names",
    },
    Shim {
        library: "libsocket_wrapper",
        name: "socket_wrapper",
        does: "puts Unix sockets in the place of IP sockets: the kernel knows nothing of the port, \
            and only programs with the same library reach it",
    },
    Shim {
        library: "libforce-bind",
        name: "force-bind",
        does: "rewrites the address and port of bind: the kernel is asked for others than the \
            program names",
    },
];

/// Those named in a text: the value of `LD_PRELOAD`, or `/proc/PID/maps`.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(super) fn named_in(text: &str) -> Vec<Shim> {
    let words = |c: char| c.is_whitespace() || c == ':';
    let files: Vec<&str> =
        text.split(words).map(|path| path.rsplit('/').next().unwrap_or(path)).collect();
    let is_named = |shim: &Shim| files.iter().any(|file| file.starts_with(shim.library));
    KNOWN.into_iter().filter(is_named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preloaded_libraries() {
        let names = |text: &str| named_in(text).iter().map(|shim| shim.name).collect::<Vec<_>>();
        assert_eq!(names("/usr/lib/authbind/libauthbind.so.1"), ["authbind"]);
        assert_eq!(names("libfakeroot-sysv.so"), ["fakeroot"]);
        assert_eq!(names("/a.so:/usr/$LIB/libproxychains4.so /b.so"), ["proxychains"]);
        assert_eq!(
            names("7f0-7f1 r-xp 00000000 00:1f 9  /usr/lib/x86_64-linux-gnu/libtorsocks.so.0\n"),
            ["torsocks"]
        );
        assert_eq!(names("/home/libfakeroot/other.so"), [""; 0]);
    }
}
