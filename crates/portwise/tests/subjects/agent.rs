//! The process that is asked about: it makes itself what a row of the table says, and then does
//! what it is told, a line at a time.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::process::CommandExt,
    process::{self, Command, Stdio},
};

use portwise_sys::{
    Errno,
    caps::{self, NET_BIND_SERVICE, Sets},
    landlock,
    ns::{self, Kind},
    process::Credentials,
    seccomp,
};

/// The environment variable that makes this program bind, say what came of it, and end.
pub(crate) const BIND: &str = "SUBJECT_BINDS";
/// The one that makes it an agent, with the steps to take.
pub(crate) const STEPS: &str = "SUBJECT_STEPS";

/// Binds 127.0.0.1:80 and returns what came of it.
pub(crate) fn bind() -> String {
    match TcpListener::bind("127.0.0.1:80") {
        Ok(_) => "ok".into(),
        Err(error) => Errno::from(error).to_string(),
    }
}

/// Takes the steps, says `ready`, and obeys until nobody says anything any more.
pub(crate) fn run(steps: &str) {
    let mut left = steps.split_whitespace();
    while let Some(step) = left.next() {
        let (name, value) = step.split_once('=').unwrap_or((step, ""));
        match name {
            // The rest is for the first process of the new namespace.
            "pidns" => return in_pid_namespace(left.collect::<Vec<_>>().join(" ").as_str()),
            "exec" => become_program(value, &left.collect::<Vec<_>>().join(" ")),
            _ => take(name, value).unwrap_or_else(|errno| fail(step, &errno.to_string())),
        }
    }
    say("ready");
    while let Some(line) = hear() {
        let (order, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match order {
            "bind" => say(&bind()),
            "start" => say(&start(rest)),
            "ask" => say(&output(rest)),
            other => fail(other, "unknown order"),
        }
    }
}

fn take(step: &str, value: &str) -> Result<(), Errno> {
    let number = || value.parse::<u32>().unwrap_or_else(|_| fail(step, "no number"));
    let bit = caps::bit(NET_BIND_SERVICE);
    let user = || Credentials {
        uid: Some(number()),
        gid: Some(number()),
        groups: Some(Vec::new()),
        ..Credentials::default()
    };
    match step {
        "netns" => ns::unshare(&[Kind::Net]).and_then(|()| ns::lo_up()),
        "limit" => std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", value)
            .map_err(Errno::from),
        "mntns" => {
            ns::unshare(&[Kind::Mount])?;
            tool("mount", &["--make-rprivate", "/"])
        }
        // OPTION:DIRECTORY
        "mount" => {
            let (option, at) = value.split_once(':').unwrap_or_else(|| fail(step, value));
            tool("mount", &["--bind", at, at])?;
            tool("mount", &["-o", &format!("remount,bind,{option}"), at])
        }
        // The ids are mapped by whoever has the right to.
        "userns" => {
            ns::unshare(&[Kind::User])?;
            say("map");
            hear().map(drop).ok_or(Errno::EPIPE)
        }
        "uid" => user().take(),
        "drop" => caps::bounding_drop(NET_BIND_SERVICE),
        "ambient" => {
            let sets = Sets { effective: bit, permitted: bit, inheritable: bit };
            Credentials { sets: Some(sets), ambient: Some(bit), ..user() }.take()
        }
        "inheritable" => {
            let sets = Sets { inheritable: bit, ..Sets::default() };
            Credentials { sets: Some(sets), ..user() }.take()
        }
        "permitted" => {
            let sets = Sets { permitted: bit, ..Sets::default() };
            Credentials { sets: Some(sets), ..user() }.take()
        }
        "nnp" => caps::set_no_new_privs(),
        "seccomp" => seccomp::forbid_bind(Errno::EPERM),
        "landlock" => landlock::restrict_tcp_bind(&[8080]),
        _ => fail(step, "unknown step"),
    }
}

fn tool(name: &str, arguments: &[&str]) -> Result<(), Errno> {
    let status = Command::new(name).args(arguments).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(Errno::EIO) }
}

/// The first process of a pid namespace goes on in the place of this one.
fn in_pid_namespace(left: &str) {
    ns::unshare(&[Kind::Pid]).unwrap_or_else(|errno| fail("pidns", &errno.to_string()));
    let mut child = Command::new("/proc/self/exe").env(STEPS, left).spawn().unwrap();
    say(&format!("pid {}", child.id()));
    process::exit(child.wait().ok().and_then(|status| status.code()).unwrap_or(1));
}

/// Goes on as another program.
fn become_program(file: &str, left: &str) -> ! {
    let error = Command::new(file).env(STEPS, left).exec();
    fail(file, &error.to_string())
}

/// Starts a program that binds, and returns what came of it.
fn start(file: &str) -> String {
    let mut command = Command::new(file);
    command.env_remove(STEPS).env(BIND, "yes").stdin(Stdio::null()).stderr(Stdio::inherit());
    match command.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => format!("exec {}", Errno::from(error)),
    }
}

/// Runs another program in this place; its arguments are separated by blanks. Returns the first
/// line of what it prints.
fn output(line: &str) -> String {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    let mut command = Command::new(program);
    let done = command.args(words).env_remove(STEPS).stdin(Stdio::null()).output();
    match done {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let said = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
            text.lines().next().map_or(said, str::to_owned)
        }
        Err(error) => format!("{program}: {error}"),
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).unwrap();
}

/// Reads a line and not a byte more: what follows may be for the program this one becomes.
fn hear() -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    let mut input = std::io::stdin().lock();
    while input.read_exact(&mut byte).is_ok() {
        if byte[0] == b'\n' {
            return String::from_utf8(line).ok();
        }
        line.push(byte[0]);
    }
    None
}

fn fail(what: &str, why: &str) -> ! {
    say(&format!("failed: {what}: {why}"));
    process::exit(1)
}
