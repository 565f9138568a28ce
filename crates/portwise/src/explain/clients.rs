//! What can make IPv4 clients fail although a bind succeeded, on macOS, where tools of developers
//! redirect low ports: the most likely first, each with the command that settles it.

use std::net::IpAddr;

use portwise_model::{Case, KernelFamily, Protocol, Version, v4_mapped};

use super::report::Note;
use crate::endpoint::Target;

/// The first XNU of macOS 10.15, which has network filters outside the kernel.
const EXTENSIONS: Version = Version::new(6153, 0, 0);

/// The notes on a bind that is allowed.
pub(super) fn of(case: &Case, target: &Target) -> Vec<Note> {
    let kernel = &case.host.kernel;
    let every = match target.ip {
        IpAddr::V4(ip) => ip.is_unspecified(),
        IpAddr::V6(ip) => {
            ip.is_unspecified() && !case.request.socket.v6only
                || v4_mapped(ip).is_some_and(|ip| ip.is_unspecified())
        }
    };
    let is_low = (1..1024).contains(&target.port);
    if kernel.family != KernelFamily::Xnu || target.protocol != Protocol::Tcp || !every || !is_low {
        return Vec::new();
    }
    let port = target.port;
    let filters = match kernel.version >= EXTENSIONS {
        true => "`systemextensionsctl list` and `kextstat | grep -v com.apple` show it",
        false => "`kextstat | grep -v com.apple` shows it",
    };
    let texts = [
        (
            "clients-pf",
            format!(
                "if IPv4 clients fail all the same, most likely pf redirects the port before the \
                 socket is asked, as development tools set up (`rdr … inet … port {port} -> \
                 127.0.0.1 port N`), for IPv4 only: clients are refused at once if nobody is on N. \
                 `sudo pfctl -s nat` shows it, with `-a ANCHOR` for each one that \
                 `sudo pfctl -v -s Anchors` names"
            ),
        ),
        (
            "clients-filter",
            format!(
                "else a network filter (of an antivirus, a VPN, a personal firewall) may treat the \
                 two families differently or wait for somebody to allow it: {filters}"
            ),
        ),
        (
            "clients-application-firewall",
            "else the application firewall refuses the program or still asks about it, for both \
             families: `/usr/libexec/ApplicationFirewall/socketfilterfw --getglobalstate \
             --getblockall --listapps` shows it"
                .into(),
        ),
        (
            "clients-proxy",
            format!(
                "else the client never tries: a proxy variable or ~/.curlrc sends it elsewhere. \
                 `env | grep -i proxy` and `curl -q -v -4 --noproxy '*' http://127.0.0.1:{port}/` \
                 show it"
            ),
        ),
        (
            "clients-other-socket",
            format!(
                "else root bound a specific address to the same port later, which wins there: \
                 `sudo lsof -nP -iTCP:{port}` and `netstat -anv -p tcp | awk '$4 ~ /[.]{port}$/'` show \
                 it, the latter also if it does not listen"
            ),
        ),
    ];
    texts.map(|(id, text)| Note { id, text, cites: Vec::new() }).into()
}
