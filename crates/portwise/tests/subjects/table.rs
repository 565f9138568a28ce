//! The table, and how a row of it is predicted and tried.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use portwise_sys::ns::{self, Kind};
use serde_json::Value;

use super::{agent, files};

/// How the question is asked.
#[derive(Clone, Copy)]
enum Ask {
    /// `--pid` of the process, which then binds.
    Pid,
    /// `--pid` of the process `-- PROGRAM`, which that then starts.
    PidStarts(&'static str),
    /// As the process itself `-- PROGRAM`, which that then starts.
    OwnStarts(&'static str),
    /// As the process itself, which then binds.
    Own,
    /// `--as UID -- PROGRAM`, which a login process of that user then starts.
    AsStarts(&'static str),
}

use Ask::{AsStarts, Own, OwnStarts, Pid, PidStarts};

/// What the process is, how the question is asked, and what the answer has to be, so that a way
/// of asking that predicts and tries the wrong thing is seen.
type Row = (&'static str, &'static str, Ask, &'static str);

/// The uid that user namespaces map to their root.
const PLAIN_USERNS: &str = "uid=1000 userns";

const TABLE: &[Row] = &[
    ("plain", "uid=1000", Pid, "EACCES"),
    ("plain", "uid=1000", Own, "EACCES"),
    ("plain", "uid=1000", AsStarts("plain"), "EACCES"),
    ("root", "", Pid, "ok"),
    ("root", "", Own, "ok"),
    ("root", "", PidStarts("plain"), "ok"),
    ("root without the capability", "drop exec=plain", Pid, "EACCES"),
    ("root without the capability", "drop exec=plain", PidStarts("plain"), "EACCES"),
    ("root without the capability", "drop exec=plain", OwnStarts("plain"), "EACCES"),
    ("file capability on ELF", "uid=1000", AsStarts("ep"), "ok"),
    ("file capability on ELF", "uid=1000", PidStarts("ep"), "ok"),
    ("file capability on ELF", "uid=1000", OwnStarts("ep"), "ok"),
    ("file capability on ELF, running", "uid=1000 exec=ep", Pid, "ok"),
    ("file capability by a symbolic link", "uid=1000", AsStarts("link-to-ep"), "ok"),
    ("file capability without e", "uid=1000", AsStarts("p"), "EACCES"),
    ("file capability without e, running", "uid=1000 exec=p", Pid, "EACCES"),
    ("file capability on a script", "uid=1000", AsStarts("script-with-ep"), "EACCES"),
    ("file capability on its interpreter", "uid=1000", AsStarts("script-of-ep"), "ok"),
    ("file capability behind env", "uid=1000", AsStarts("script-of-env"), "ok"),
    ("inheritable on file and process", "inheritable=1000", PidStarts("ei"), "ok"),
    ("inheritable on the file only", "uid=1000", PidStarts("ei"), "EACCES"),
    ("inheritable on the process only", "inheritable=1000", PidStarts("plain"), "EACCES"),
    ("permitted, not effective", "permitted=1000", Pid, "EACCES"),
    ("set-user-ID root", "uid=1000", AsStarts("set-uid"), "ok"),
    ("root, set-user-ID another", "", PidStarts("set-uid-1001"), "EACCES"),
    ("nosuid", "mntns mount=nosuid:NOSUID uid=1000", PidStarts("nosuid/ep"), "EACCES"),
    ("nosuid", "mntns mount=nosuid:NOSUID uid=1000", OwnStarts("nosuid/ep"), "EACCES"),
    (
        "nosuid, set-user-ID",
        "mntns mount=nosuid:NOSUID uid=1000",
        PidStarts("nosuid/set-uid"),
        "EACCES",
    ),
    ("nosuid, running", "mntns mount=nosuid:NOSUID uid=1000 exec=nosuid/ep", Pid, "EACCES"),
    ("noexec", "mntns mount=noexec:NOEXEC uid=1000", PidStarts("noexec/ep"), "exec EACCES"),
    ("not executable", "uid=1000", AsStarts("not-executable"), "exec EACCES"),
    ("not executable, root", "", PidStarts("not-executable"), "exec EACCES"),
    ("in a directory that is shut", "uid=1000", AsStarts("shut/plain"), "exec EACCES"),
    ("a directory", "uid=1000", AsStarts("shut"), "exec EACCES"),
    ("no program", "uid=1000", AsStarts("no-program"), "exec ENOEXEC"),
    ("five scripts", "uid=1000", AsStarts("chain-5"), "EACCES"),
    ("six scripts", "uid=1000", AsStarts("chain-6"), "exec ELOOP"),
    ("no interpreter", "uid=1000", AsStarts("script-of-nothing"), "exec ENOENT"),
    ("no_new_privs", "uid=1000 nnp", PidStarts("ep"), "EACCES"),
    ("no_new_privs", "uid=1000 nnp", OwnStarts("ep"), "EACCES"),
    ("no_new_privs, running", "uid=1000 nnp exec=ep", Pid, "EACCES"),
    ("no_new_privs, set-user-ID", "uid=1000 nnp", PidStarts("set-uid"), "EACCES"),
    ("ambient", "ambient=1000", Pid, "ok"),
    ("ambient", "ambient=1000", PidStarts("plain"), "ok"),
    ("ambient", "ambient=1000", OwnStarts("script"), "ok"),
    ("ambient, no_new_privs", "ambient=1000 nnp", PidStarts("plain"), "ok"),
    ("ambient, file with another capability", "ambient=1000", PidStarts("raw"), "EACCES"),
    ("bounding set without it", "drop uid=1000", PidStarts("ep"), "exec EPERM"),
    ("bounding set without it", "drop uid=1000", OwnStarts("ep"), "exec EPERM"),
    ("bounding set without it, file without e", "drop uid=1000", PidStarts("p"), "EACCES"),
    ("bounding set without it, no capability", "drop uid=1000", PidStarts("plain"), "EACCES"),
    ("user namespace, network of its own", "uid=1000 userns netns exec=plain", Pid, "ok"),
    (
        "user namespace, network of its own",
        "uid=1000 userns netns exec=plain",
        PidStarts("plain"),
        "ok",
    ),
    ("user namespace, outer network", "uid=1000 userns exec=plain", Pid, "EACCES"),
    ("user namespace, outer network", "uid=1000 userns exec=plain", Own, "EACCES"),
    ("user namespace, outer network", "uid=1000 userns exec=plain", PidStarts("ep"), "EACCES"),
    ("capability of a user namespace, outside", "uid=1000", AsStarts("of-userns"), "EACCES"),
    (
        "capability of a user namespace, inside",
        "userns netns uid=1000",
        PidStarts("of-userns"),
        "ok",
    ),
    ("container, root", "netns mntns pidns exec=plain", Pid, "ok"),
    ("container, user", "netns mntns pidns uid=1000", Pid, "EACCES"),
    ("container, user, file capability", "netns mntns pidns uid=1000", PidStarts("ep"), "ok"),
    ("container without the capability", "netns mntns drop pidns exec=plain", Pid, "EACCES"),
    ("container without a limit, user", "netns limit=0 mntns pidns uid=1000", Pid, "ok"),
    ("seccomp filter, root", "nnp seccomp", Own, "EPERM"),
    ("seccomp filter, root", "nnp seccomp", Pid, "EPERM?"),
    ("Landlock domain, root", "nnp landlock", Own, "EACCES?"),
];

/// A process that was started for a row.
struct Agent {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pid: u32,
}

impl Agent {
    /// Starts one and waits until it is what the row says; `Err` with what it said otherwise.
    fn new(steps: &str, there: &Path) -> Result<Agent, String> {
        let mut child = Command::new(there.join("plain"))
            .env(agent::STEPS, steps)
            .env("PATH", path(there))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let pid = child.id();
        let mut agent = Agent { child, input, output: BufReader::new(output), pid };
        let mut inner = !steps.contains("pidns");
        let mut is_ready = false;
        while !(inner && is_ready) {
            let line = agent.hear();
            match line.split_once(' ') {
                Some(("pid", pid)) => (agent.pid, inner) = (pid.parse().unwrap(), true),
                _ if line == "ready" => is_ready = true,
                _ if line == "map" => {
                    let plain = steps.starts_with(PLAIN_USERNS);
                    let map = if plain { "0 1000 1" } else { "0 100000 65536" };
                    for file in ["gid_map", "uid_map"] {
                        fs::write(format!("/proc/{pid}/{file}"), map).map_err(|e| e.to_string())?;
                    }
                    agent.say("mapped");
                }
                _ => return Err(line),
            }
        }
        Ok(agent)
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn told(&mut self, order: &str) -> String {
        self.say(order);
        self.hear()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path(there: &Path) -> String {
    format!("{}:{}", there.display(), std::env::var("PATH").unwrap_or_default())
}

pub(crate) fn predicted_and_tried() {
    let not_run = |why: &str| {
        let _ = writeln!(std::io::stderr(), "not run: subjects: {why}");
    };
    let there = tempfile::tempdir().unwrap();
    if ns::unshare(&[Kind::Net]).and_then(|()| ns::lo_up()).is_err() {
        return not_run("needs root, to make processes of every kind");
    }
    if let Err(error) = files::make(there.path()) {
        return not_run(&format!("no file capabilities here: {error}"));
    }
    let mut wrong = Vec::new();
    let mut compared = 0;
    println!("{:42} {:26} {:13} {:13}", "subject", "asked", "predicted", "observed");
    for (what, steps, ask, expected) in TABLE {
        let said = match row(there.path(), steps, *ask) {
            Ok(said) => said,
            Err(why) => {
                not_run(&format!("{what}: {why}"));
                continue;
            }
        };
        let Said { predicted, observed, file_differs } = said;
        if let Some(difference) = file_differs {
            wrong.push(format!("{what}, {}: {difference}", asked(*ask)));
        }
        println!("{what:42} {:26} {predicted:13} {observed:13}", asked(*ask));
        compared += 1;
        // `X?`: it may be X, and no more can be known.
        let open = expected.strip_suffix('?');
        let agrees = match open {
            Some(errno) => predicted == format!("ok or {errno}") && observed == errno,
            None => predicted == observed && observed == *expected,
        };
        if !agrees {
            wrong.push(format!(
                "{what}, {}: predicted {predicted}, observed {observed}, expected {expected}",
                asked(*ask)
            ));
        }
    }
    println!("\nsubjects: {compared} predicted and tried, {} differ", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 0, "nothing was compared");
}

/// Where two answers differ about the asker: what else happens on the machine is not compared.
fn difference(told: &str, live: &str) -> Option<String> {
    let answer = |text: &str| {
        // Root, who asks live here, needs no sudo; who will read a facts file is not known.
        let text = text.replace("\"sudo ", "\"");
        let value: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        let mut answer = value["answers"][0].clone();
        // A facts file keeps no arguments, so that the process cannot be started again from it.
        for fix in answer["fixes"].as_array_mut().into_iter().flatten() {
            if fix["id"] == "linux.this-run" {
                (fix["command"], fix["title"]) = (Value::Null, Value::Null);
            }
        }
        Ok::<_, String>(answer)
    };
    let (told, live) = match (answer(told), answer(live)) {
        (Ok(told), Ok(live)) => (told, live),
        (Err(why), _) | (_, Err(why)) => return Some(why),
    };
    let fields = ["subject", "asker", "answer", "outcomes", "rules", "missing", "trace", "fixes"];
    let differs = fields.into_iter().find(|field| told[field] != live[field])?;
    Some(format!("{differs}: by facts {:#}\nlive {:#}", told[differs], live[differs]))
}

fn asked(ask: Ask) -> String {
    match ask {
        Pid => "--pid".into(),
        PidStarts(program) => format!("--pid -- {program}"),
        OwnStarts(program) => format!("-- {program}"),
        Own => String::new(),
        AsStarts(program) => format!("--as -- {program}"),
    }
}

/// What came of a row.
struct Said {
    /// What is predicted.
    predicted: String,
    /// What then happens.
    observed: String,
    /// What a facts file answers otherwise than the machine.
    file_differs: Option<String>,
}

/// What is predicted, and what then happens.
fn row(there: &Path, steps: &str, ask: Ask) -> Result<Said, String> {
    let at = there.display();
    let steps = steps.replace("NOSUID", &format!("{at}/nosuid"));
    let steps = steps.replace("NOEXEC", &format!("{at}/noexec"));
    let steps = steps.replace("exec=", &format!("exec={at}/"));
    let mut agent = Agent::new(&steps, there)?;
    let pid = agent.pid;
    const ENDPOINT: &str = "127.0.0.1:80";
    let portwise = format!("{at}/portwise check {ENDPOINT}");
    let all = |arguments: &str| {
        let mut command = Command::new(there.join("portwise"));
        let output = command.args(arguments.split(' ')).env("PATH", path(there)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text + &String::from_utf8_lossy(&output.stderr)
    };
    let mine = |who: &str| {
        let said = all(&format!("check {ENDPOINT} {who}"));
        said.lines().next().unwrap_or_default().to_owned()
    };
    // A facts file answers as the machine does.
    let by_file = |who: &str| {
        let facts = there.join("facts.json");
        all(&format!("facts -q -o {} {who}", facts.display()));
        let text = fs::read_to_string(&facts).unwrap_or_default();
        let told = all(&format!("why --json {ENDPOINT} --facts {}", facts.display()));
        let live = all(&format!("why --json {ENDPOINT} {who}"));
        fs::remove_file(&facts).unwrap();
        if text.contains(agent::STEPS) {
            return Some("the facts have the environment".to_string());
        }
        difference(&told, &live)
    };
    let file = |program: &str| format!("{at}/{program}");
    let who = match ask {
        Pid => Some(format!("--pid {pid}")),
        PidStarts(program) => Some(format!("--pid {pid} -- {}", file(program))),
        AsStarts(program) => Some(format!("--as 1000:1000 -- {}", file(program))),
        Own | OwnStarts(_) => None,
    };
    let line = match (&who, ask) {
        (Some(who), _) => mine(who),
        (None, OwnStarts(program)) => agent.told(&format!("ask {portwise} -- {}", file(program))),
        (None, _) => agent.told(&format!("ask {portwise}")),
    };
    let file_differs = who.and_then(|who| by_file(&who));
    let observed = match ask {
        Pid | Own => agent.told("bind"),
        PidStarts(program) | OwnStarts(program) | AsStarts(program) => {
            agent.told(&format!("start {}", file(program)))
        }
    };
    Ok(Said { predicted: answer(&line), observed, file_differs })
}

/// What a line of `check` predicts, as an agent would say it.
fn answer(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [_, "yes", ..] => "ok".into(),
        [_, "no", errno, rule] if rule.starts_with("linux.exec.") => format!("exec {errno}"),
        [_, "no", errno, _] => (*errno).into(),
        [_, "unknown", errno, _] => format!("ok or {errno}"),
        _ => line.into(),
    }
}
