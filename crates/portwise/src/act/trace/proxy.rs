//! Whether a program went where its environment sends it: to a proxy in place of the server.

use std::net::SocketAddr;

use portwise_sys::proc::Proc;

/// The variables that programs look at, and the one that takes hosts out.
const VARIABLES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
];

/// What is to be said if the address is that of a proxy which the environment of the process names.
pub(super) fn named(pid: u32, address: SocketAddr) -> Option<String> {
    let environment = Proc::default().read(format!("proc/{pid}/environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let (variable, proxy) = in_environment(&environment, address)?;
    Some(format!(
        "that is the proxy of {variable}={proxy} in its environment: the program asks it in place \
         of the server; unset the variable, or name the server's host in no_proxy"
    ))
}

/// The variable that names the address, and the proxy without its password.
fn in_environment(environment: &str, address: SocketAddr) -> Option<(&str, String)> {
    environment.split('\0').find_map(|variable| {
        let (name, value) = variable.split_once('=')?;
        let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
        let authority = rest.split('/').next()?;
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (place, if scheme.starts_with("socks") { 1080 } else { 80 }),
        };
        let host = host.trim_matches(['[', ']']);
        // A name may be of any address.
        let is_it = host.parse().map_or(true, |ip: std::net::IpAddr| ip == address.ip());
        let names = VARIABLES.contains(&name) && is_it && port == address.port();
        names.then(|| (name, format!("{scheme}://{place}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_of_a_variable() {
        let at = |environment: &str, address: &str| {
            let environment = environment.replace(' ', "\0");
            in_environment(&environment, address.parse().unwrap())
                .map(|(name, proxy)| format!("{name} {proxy}"))
        };
        let said = |text: &str| Some(text.to_string());
        let one = "A=1 http_proxy=http://me:secret@127.0.0.1:3128/ B=2";
        assert_eq!(at(one, "127.0.0.1:3128"), said("http_proxy http://127.0.0.1:3128"));
        assert_eq!(at(one, "127.0.0.1:3129"), None);
        assert_eq!(at(one, "127.0.0.2:3128"), None);
        assert_eq!(
            at("ALL_PROXY=socks5://proxy.test", "192.0.2.1:1080"),
            said("ALL_PROXY socks5://proxy.test")
        );
        assert_eq!(
            at("HTTPS_PROXY=[::1]:8080", "[::1]:8080"),
            said("HTTPS_PROXY http://[::1]:8080")
        );
        assert_eq!(at("other=http://127.0.0.1:3128", "127.0.0.1:3128"), None);
    }
}
