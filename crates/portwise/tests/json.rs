//! JSON output is what its schema says, and `docs/reference/json.md` says what the schemas say:
//! compared by default, written anew with `PORTWISE_BLESS=1`.

mod common;

use std::{collections::BTreeSet, env, fmt::Write, fs, path::Path};

use common::schema::{Checker, reference, resolve, schema};
use serde_json::Value;

const BLESS: &str = "PORTWISE_BLESS=1 cargo test -p portwise --test json";
const HOST: &str = concat!("--facts ", env!("CARGO_MANIFEST_DIR"), "/tests/data/host.json");
const VERBS: [&str; 13] = [
    "why", "check", "unix", "list", "reach", "free", "explain", "facts", "fix", "doctor", "try",
    "trace", "conform",
];

/// Every place of a schema that a value could use.
fn places(schema: &Value, file: &str, place: &str, all: &mut BTreeSet<String>) {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let (file, schema, place) = resolve(target, file);
        return places(&schema, &file, &place, all);
    }
    for (i, one) in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        let place = format!("{place}|{i}");
        all.insert(place.clone());
        places(one, file, &place, all);
    }
    if let Some(items) = schema.get("items") {
        places(items, file, &format!("{place}[]"), all);
    }
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let place = format!("{place}.{name}");
        all.insert(place.clone());
        places(field, file, &place, all);
    }
    if let Some(other) = schema.get("additionalProperties").filter(|other| other.is_object()) {
        places(other, file, &format!("{place}.*"), all);
    }
}

#[test]
fn output_is_what_the_schema_says() {
    // The same machine as an older kernel would show it, one port of it.
    let there = tempfile::tempdir().unwrap();
    let partly = there.path().join("partly.json");
    let mut facts: Value = serde_json::from_str(&fs::read_to_string(&HOST[8..]).unwrap()).unwrap();
    facts["host"]["sockets"]["coverage"] = serde_json::json!({"ports": [8080]});
    facts["host"]["sockets"]["hidden"] =
        serde_json::json!({"key": "all-sockets", "why": "the kernel is too old", "reveal": ""});
    fs::write(&partly, facts.to_string()).unwrap();
    let partly = format!("--facts {}", partly.display());
    let programs = there.path().join("programs");
    let programs = programs_with_gates(&programs);
    let runs: [(&str, &[&str]); 6] = [
        (
            "why",
            &[
                "127.0.0.1:80 0.0.0.0:0 [fe80::1]:80 8080 --on linux-6.12",
                "127.0.0.1:80 192.0.2.1:8080 [::]:80 --on macos-10.14.2",
                "[::1]:80 *:0 --on macos-10.13.6",
                "8080 12345 5353/udp 127.0.0.1:3000 [fe80::1%eth0]:80 HOST --reuseaddr --reuseport",
                "127.0.0.1:9000 192.0.2.10:8081 [2001:db8:1::5]:80 HOST --dev eth0 --as 1001",
                "127.0.0.1:8080 8081 PARTLY",
                "127.0.0.1:8080 --got EADDRINUSE HOST",
                "127.0.0.1:8080 --got EACCES --on linux-6.12",
                "bind to 0.0.0.0:80 failed (98) bind to [::]:80 failed (98) in use? --on linux-6.12",
                "127.0.0.1:80 --facts PROGRAMS/0",
                "127.0.0.1:80 --facts PROGRAMS/1",
                "127.0.0.1:80 --facts PROGRAMS/2",
                "127.0.0.1:80 --facts PROGRAMS/3",
                "127.0.0.1:80 --facts PROGRAMS/4",
            ],
        ),
        ("check", &["127.0.0.1:80 192.0.2.1:8080 --on linux-6.12", "8080 HOST"]),
        ("free", &["8080 HOST --count 2", "--on linux-6.12"]),
        (
            "explain",
            &[
                "",
                "0.0.0.0",
                "xnu.wildcard-exempt",
                "linux.bind.zone",
                "linux.lookup.group",
                "linux.unix.free",
                "reuse",
            ],
        ),
        (
            "facts",
            &[
                "--on linux-6.12",
                "--on macos-15",
                "HOST",
                "PARTLY",
                "--facts PROGRAMS/0",
                "--facts PROGRAMS/4",
            ],
        ),
        ("conform", &["DATA/linux-own.jsonl"]),
    ];
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data");
    let named = |args: &str| {
        let args = args.replace("HOST", HOST).replace("PARTLY", &partly);
        args.replace("PROGRAMS", &programs).replace("DATA", data)
    };
    let mut checker = Checker { faults: Vec::new(), used: BTreeSet::new() };
    let mut all = BTreeSet::new();
    for (verb, lines) in runs {
        let (file, schema) = (format!("{verb}.json"), schema(&format!("{verb}.json")));
        places(&schema, &file, verb, &mut all);
        for args in lines {
            let run = common::line(&format!("{verb} --json {}", named(args)));
            let value: Value = serde_json::from_str(&run.out).unwrap_or_else(|e| {
                panic!("{verb} {args}: {e}: {}{}", run.out, run.err);
            });
            checker.check(&value, &schema, &file, verb, verb);
        }
    }
    random_conform(&mut checker);
    really_tried(&mut checker);
    really_traced(&mut checker);
    followed(&mut checker);
    #[cfg(target_os = "linux")]
    of_unix(&mut checker);
    #[cfg(target_os = "linux")]
    of_fix_and_doctor(&mut checker);
    #[cfg(target_os = "linux")]
    really_listed(&mut checker);
    assert!(checker.faults.is_empty(), "{}", checker.faults.join("\n"));
    // Only a kernel's own memory of a shared port, which nothing shows, gives the first; of the
    // running machine not everything can be had.
    let live = [
        "common.json#/$defs/about",
        "common.json#/$defs/named",
        "why.json#/$defs/elsewhere",
        "why.json#/$defs/owner.about",
        "why.json#/$defs/audience",
        "why.json#/$defs/group",
    ];
    let not_here = |place: &str| {
        place.contains("/evidence|16")
            || live.iter().any(|live| place.starts_with(live))
            || place.starts_with("conform.") && of_random(place)
    };
    let unused: Vec<&String> =
        all.difference(&checker.used).filter(|place| !not_here(place)).collect();
    assert!(unused.is_empty(), "described, but never written: {unused:#?}");
}

/// Facts about an asker with gates in its way who starts a program: one that the bounding set
/// keeps from starting, one that is on a file system with noexec, one that is not there; and an
/// asker whose filter refuses. Returns the directory of the files `0` to `3`.
fn programs_with_gates(there: &Path) -> String {
    use serde_json::json;
    fs::create_dir(there).unwrap();
    let known = |value: Value| json!({"known": {"value": value, "from": "given"}});
    let ids = json!({"real": 1000, "effective": 1000, "saved": 1000, "filesystem": 1000});
    let map = json!({"root": 0, "roots_around": [], "uids": [[0, 65535]], "gids": [[0, 65535]]});
    let credentials = json!({
        "uids": ids, "gids": ids, "groups": [], "permitted": 0, "inheritable": 0, "bounding": 0,
        "ambient": 0, "no_new_privs": false, "traced": false, "securebits": known(json!(0)),
        "ids": known(map),
    });
    let inode = |kind: &str, path: &str| json!({"path": path, "kind": kind, "mode": 0o755, "uid": 0, "gid": 0, "acl": false});
    let file = |there: bool, noexec: bool| {
        let inode = |kind| inode(kind, "/opt/server");
        json!({
            "path": "/opt/server",
            "directories": [inode("directory")],
            "inode": known(if there { inode("regular") } else { Value::Null }),
            "mount": known(json!({"at": "/opt", "nosuid": false, "noexec": noexec})),
            "capabilities": known(json!(
                {"permitted": 1024, "inheritable": 0, "effective": true, "rootid": 0}
            )),
            "format": known(json!("elf")),
        })
    };
    let gate = |name: &str, refuses: bool| json!({"name": name, "what": "what is known", "reveal": "try it", "refuses": refuses});
    let program = |file: Value| json!([{"name": "server", "files": [file], "loader": null}]);
    let unseen = json!({"present": [], "unseen": [gate("landlock", false)]});
    let refusing = json!({"present": [gate("seccomp-filter", true)], "unseen": []});
    for (n, (programs, gates)) in [
        (program(file(true, false)), &unseen),
        (program(file(true, true)), &unseen),
        (program(file(false, false)), &unseen),
        (json!([]), &refusing),
        (json!([]), &unseen),
    ]
    .into_iter()
    .enumerate()
    {
        let mut facts: Value =
            serde_json::from_str(&fs::read_to_string(&HOST[8..]).unwrap()).unwrap();
        facts["subject"]["capabilities"] = known(json!(0));
        facts["subject"]["credentials"] = known(credentials.clone());
        facts["subject"]["gates"] = known(gates.clone());
        facts["subject"]["programs"] = programs.clone();
        if n == 4 {
            facts["process"] = json!({
                "pid": 4711, "command": "server", "program": program(file(true, false))[0],
                "namespaces": ["pid", "mnt"], "unit": "server.service", "misplaced": ["X"],
            });
            facts["netns"] = json!("/proc/4711/ns/net");
            facts["command"] = json!(["server"]);
        }
        fs::write(there.join(n.to_string()), facts.to_string()).unwrap();
    }
    there.display().to_string()
}

/// What random scenarios add, where namespaces can be made; a disagreement is not to be had.
fn random_conform(checker: &mut Checker) {
    for what in [&["--random", "20"][..], &["--features"]] {
        let portwise = std::process::Command::new(env!("CARGO_BIN_EXE_portwise"))
            .args(["conform", "--json"])
            .args(what)
            .output();
        match serde_json::from_slice(&portwise.expect("the binary was built").stdout) {
            Ok(value) => {
                let schema = schema("conform.json");
                checker.check(&value, &schema, "conform.json", "conform", "conform");
            }
            Err(_) => portwise_sys::not_run!("the JSON of {what:?}: no namespaces here"),
        }
    }
}

/// What `why` and `check` write of Unix sockets.
#[cfg(target_os = "linux")]
fn of_unix(checker: &mut Checker) {
    let there = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("unix:{}", there.path().join(name).display());
    let held = std::os::unix::net::UnixListener::bind(there.path().join("held")).unwrap();
    let names = [path("held"), path("new"), path("none/new"), "unix:@portwise-test".into()];
    for verb in ["why", "check"] {
        let args: Vec<&str> =
            [verb, "--json"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let value: Value = serde_json::from_str(&common::portwise(&args).out).unwrap();
        assert_eq!(value["answers"][0]["sockets"][0]["holders"][0]["pid"], std::process::id());
        checker.check(&value, &schema("unix.json"), "unix.json", "unix", "unix");
    }
    drop(held);
}

/// What `fix` writes, before and after, and `doctor`.
#[cfg(target_os = "linux")]
fn of_fix_and_doctor(checker: &mut Checker) {
    let there = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", there.path().join("stale").display());
    drop(std::os::unix::net::UnixListener::bind(there.path().join("stale")).unwrap());
    let mut runs = vec![vec!["127.0.0.1:80", "--on", "linux-6.12"], vec![&path]];
    // Only who may look into every network namespace knows that nobody has the socket.
    let is_stale = common::line(&format!("fix {path}")).out.contains("rm ");
    match is_stale {
        true => runs.push(vec![&path, "--apply", "1", "--yes"]),
        false => portwise_sys::not_run!("the JSON of fix --apply: a process is out of sight"),
    }
    for args in runs {
        let run = common::portwise(&[vec!["fix", "--json"], args.clone()].concat());
        let value: Value = serde_json::from_str(&run.out)
            .unwrap_or_else(|e| panic!("fix {args:?}: {e}: {}{}", run.out, run.err));
        checker.check(&value, &schema("fix.json"), "fix.json", "fix", "fix");
    }
    assert_eq!(!is_stale, there.path().join("stale").exists());
    let value: Value = serde_json::from_str(&common::line("doctor --json").out).unwrap();
    checker.check(&value, &schema("doctor.json"), "doctor.json", "doctor", "doctor");
}

/// What `list` writes about this machine.
#[cfg(target_os = "linux")]
fn really_listed(checker: &mut Checker) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let run = common::line("list --json --all");
    let value: Value = serde_json::from_str(&run.out).unwrap();
    checker.check(&value, &schema("list.json"), "list.json", "list", "list");
    let lines = common::line("list --json-lines --all").out;
    assert!(lines.lines().count() >= 3, "{lines}");
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        checker.check(&value, &schema("list-line.json"), "list-line.json", "line", "line");
    }
    let port = listener.local_addr().unwrap().port();
    let run = common::line(&format!("why --json {port} 127.0.0.1:{port} [::1]:{port}"));
    let value: Value = serde_json::from_str(&run.out).unwrap();
    checker.check(&value, &schema("why.json"), "why.json", "why", "why");
    drop(client);
}

/// What `try` writes, where namespaces can be made. What cannot be had everywhere, such as a
/// disagreement, is only described.
fn really_tried(checker: &mut Checker) {
    let runs: [&[&str]; 3] = [
        &["127.0.0.1:80", "[::1]:8080/udp", "[::]:8080", "--as", "0"],
        &["127.0.0.1:8080", "--client", "true", "--", "sh", "-c", "echo no; exit 1"],
        &["0.0.0.0:0", "--here"],
    ];
    let schema = schema("try.json");
    for args in runs {
        // Only root may ask as root.
        let plain = args.len() - if args.contains(&"--as") { 2 } else { 0 };
        for args in [args, &args[..plain]] {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portwise"));
            let run = command.args(["try", "--json"]).args(args).output();
            let out = run.expect("the binary was built").stdout;
            match serde_json::from_slice(&out) {
                Ok(value) => checker.check(&value, &schema, "try.json", "try", "try"),
                Err(_) if args.contains(&"--as") => {}
                Err(_) => portwise_sys::not_run!("the JSON of try {args:?}: no namespaces here"),
            }
        }
    }
}

/// What `trace` writes of a program that fails to bind and to connect, and succeeds at both.
fn really_traced(checker: &mut Checker) {
    const SCRIPT: &str =
        "use Socket qw(:all); sub tcp { socket(my $s, AF_INET, SOCK_STREAM, 0); $s }
        my $s = tcp; bind($s, pack_sockaddr_in(0, inet_aton('127.0.0.1'))); listen($s, 1);
        my $to = getsockname($s); bind(tcp, $to); connect(tcp, $to); close($s); connect(tcp, $to);
        socket(my $u, AF_UNIX, SOCK_STREAM, 0); bind($u, pack_sockaddr_un('/none/x'));
        print STDERR 'in use by another process?';";
    let there = tempfile::tempdir().unwrap();
    let file = there.path().join("told");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portwise"));
    let run = command.args(["trace", "-v", "-o"]).arg(&file).args(["--", "perl", "-e", SCRIPT]);
    let run = run.output().expect("the binary was built");
    if run.status.code() == Some(2) {
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!said.contains("--help"), "the command line is wrong: {said}");
        return portwise_sys::not_run!("the JSON of trace: {}", said.trim());
    }
    let schema = schema("trace.json");
    let told = fs::read_to_string(&file).unwrap();
    assert!(told.lines().count() >= 5, "{told}");
    for line in told.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        checker.check(&value, &schema, "trace.json", "trace", "trace");
    }
}

/// What `reach` writes, of the network at hand: what there is on it is not the test's to say.
fn followed(checker: &mut Checker) {
    let schema = schema("reach.json");
    for args in [
        &["127.0.0.1:9", "--from", "127.0.0.1%lo"][..],
        &["9"],
        &["localhost:9"],
        &["127.0.0.1:9/udp", "-4"],
    ] {
        let run = common::portwise(&[&["reach", "--json"], args].concat());
        let value: Value = serde_json::from_str(&run.out)
            .unwrap_or_else(|e| panic!("reach {args:?}: {e}: {}{}", run.out, run.err));
        checker.check(&value, &schema, "reach.json", "reach", "reach");
    }
}

fn of_random(place: &str) -> bool {
    let fields = [
        "kernel",
        "seed",
        "rules",
        "connections",
        "packets",
        "by_chance",
        "lookups",
        "not_repeated",
        "seconds",
        "not_run",
        "disagreement",
        "features",
    ];
    fields.iter().any(|field| place["conform.".len()..].starts_with(field))
}

#[test]
fn json_reference_is_current() {
    let generated = json_reference();
    let file = reference().join("json.md");
    if env::var_os("PORTWISE_BLESS").is_some_and(|value| value == "1") {
        fs::write(&file, generated).unwrap();
        return;
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == generated,
        "docs/reference/json.md is not current; write it anew with\n{BLESS}"
    );
}

fn json_reference() -> String {
    let mut text = format!(
        "# JSON\n\nGenerated from the schemas in `schema/` by `{BLESS}`. Change those, not this file.\n\n\
        Every verb answers `--json` with one object. `schema` names its format; the number after \
        the slash\ngrows when a field changes its meaning or goes. New fields may come without \
        that: ignore what you\ndo not know. Text marked as untrusted was written by whoever runs \
        a process or made a user: escape\nit before it reaches a terminal. Characters that a \
        terminal may act on are written as `\\uXXXX`.\n"
    );
    for verb in VERBS {
        let file = format!("{verb}.json");
        let schema = schema(&file);
        let what = schema["description"].as_str().unwrap();
        let _ = writeln!(text, "\n## {verb}\n\n{what} Schema: [`schema/{file}`](schema/{file}).\n");
        table(&mut text, &schema);
        definitions(&mut text, &schema);
    }
    let _ = writeln!(
        text,
        "\n## Common\n\nWhat several verbs share: [`schema/common.json`](schema/common.json)."
    );
    definitions(&mut text, &schema("common.json"));
    text
}

fn definitions(text: &mut String, schema: &Value) {
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "\n### {name}\n\n{}\n", described(definition));
        if definition.get("properties").is_some() {
            table(text, definition);
        }
        for one in definition.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            let Some(fields) = one.get("properties").and_then(Value::as_object) else { continue };
            let names: Vec<String> = fields
                .iter()
                .map(|(name, field)| match field.get("const") {
                    Some(only) => format!("`{name}`: {only}"),
                    None => format!("`{name}`"),
                })
                .collect();
            let _ = writeln!(text, "- {} {}", names.join(", "), described(one));
        }
    }
}

fn described(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn table(text: &mut String, schema: &Value) {
    text.push_str("| field | type | |\n|---|---|---|\n");
    rows(text, schema, "");
}

fn rows(text: &mut String, schema: &Value, prefix: &str) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let words = described(field);
        let words = match field.get("enum").and_then(Value::as_array) {
            Some(list) => {
                let list: Vec<String> =
                    list.iter().filter_map(Value::as_str).map(|w| format!("`{w}`")).collect();
                format!("{words} One of {}.", list.join(", "))
            }
            None => words.into(),
        };
        let _ = writeln!(text, "| `{path}` | {} | {} |", kind(field), words.replace('|', "\\|"));
        rows(text, field, &format!("{path}."));
        if let Some(items) = field.get("items") {
            rows(text, items, &format!("{path}[]."));
        }
    }
}

/// The type of a field in a few words.
fn kind(field: &Value) -> String {
    if let Some(target) = field.get("$ref").and_then(Value::as_str) {
        let name = target.rsplit('/').next().unwrap();
        return format!("[{name}](#{name})");
    }
    if let Some(only) = field.get("const") {
        return format!("`{}`", only.as_str().unwrap());
    }
    if let Some(any) = field.get("anyOf").and_then(Value::as_array) {
        return any.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(items) = field.get("items") {
        return format!("list of {}", kind(items));
    }
    match field.get("type") {
        Some(Value::Array(types)) => {
            types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")
        }
        Some(one) => one.as_str().unwrap().into(),
        None => "any".into(),
    }
}
