//! What every verb prints, as text and as JSON, for kernels and facts that are the same on every
//! machine.

mod common;

use common::line;

const HOST: &str = concat!("--facts ", env!("CARGO_MANIFEST_DIR"), "/tests/data/host.json");

/// Everything a run printed, with the arguments above it.
fn transcript(runs: &[&str]) -> String {
    let mut text = String::new();
    for args in runs {
        let run = line(&args.replace("HOST", HOST));
        text += &format!("$ portwise {}\n{}", args.replace("HOST", "--facts host.json"), run.out);
        if !run.err.is_empty() {
            text += &format!("--- standard error\n{}", run.err);
        }
        text += &format!("--- exit status {}\n\n", run.status);
    }
    text
}

/// Compares with `tests/snapshots`.
fn snapshot(name: &str, text: String) {
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, text) });
}

#[test]
fn why_text() {
    snapshot(
        "why_text",
        transcript(&[
            "127.0.0.1:80 --on linux-6.12",
            "why 127.0.0.1:80 --on linux-6.12 --as 0",
            "why [::1]:80 --on macos-10.14.2",
            "why 0.0.0.0:80 --on macos-15",
            "why *:8080 --on linux-6.12 --has 192.0.2.10/24",
            "why 192.0.2.10:8080 --on linux-6.12",
            "why [fe80::1]:80 --on linux-6.12",
            "why localhost:3000 -4 --on linux-6.12 -q",
            "why localhost:3000 --on linux-6.12 -q",
            "why 127.0.0.1:3000 --on linux-5.4 --dev lo",
        ]),
    );
}

#[test]
fn why_with_facts() {
    snapshot(
        "why_with_facts",
        transcript(&[
            "why 8080 HOST",
            "why 12345 HOST",
            "why 0.0.0.0:12345 HOST",
            "why 127.0.0.1:5000 HOST",
            "why 5353/udp HOST --reuseport",
            "why 5353 HOST",
            "why 127.0.0.1:3000 HOST --reuseaddr",
            "why 127.0.0.1:9000 HOST",
            "why 0.0.0.0:40254 HOST",
            "why 127.0.0.1:4080 HOST --as 1000",
            "why 127.0.0.1:4080 HOST --reuseport --as 1001",
            "why [2001:db8:1::5]:8000 HOST",
            "why [fe80::1%eth0]:8000 HOST",
            "why 198.51.100.1:80 HOST --as 1001",
            "why [::]:8080 HOST --v6only",
            "why -q 8080 HOST --v6only",
            "why 192.0.2.10:8081 HOST --dev eth1",
            "why 127.0.0.1:8080 --got EADDRINUSE HOST",
            "why 127.0.0.1:8081 --got EACCES HOST --as 1001",
        ]),
    );
}

/// What a rule says of a call it stops is a line, and not what it requires.
#[test]
fn every_rule_says_its_fault() {
    for rule in portwise_model::rules() {
        let fault = rule.fault;
        assert!((10..=90).contains(&fault.len()) && !fault.contains('\n'), "{}", rule.id);
        assert!(!fault.ends_with(['.', '!', ':']) && fault != rule.title, "{}: {fault}", rule.id);
    }
}

#[test]
fn why_says_in_words() {
    const LAN: &str = "--on linux-6.12 --has 192.0.2.10/24";
    for (args, said) in [
        (
            format!("192.0.2.255:8080 {LAN}"),
            "nothing: no TCP connection is made to 192.0.2.255, a broadcast address",
        ),
        (format!("192.0.2.255:8080/udp {LAN}"), "what is sent to 192.0.2.255, a broadcast address"),
        (
            format!("[::ffff:198.51.100.1]:8080 {HOST}"),
            "no route of the table `local` covers 198.51.100.1",
        ),
        (
            format!("[::ffff:198.51.100.1]:8080 {HOST}"),
            "the IPv4 addresses of this host: 127.0.0.1 (lo), 192.0.2.10 (eth0)",
        ),
        // Two changes help only together.
        (
            format!("198.51.100.1:80 {HOST} --as 1001"),
            "every address of the host, and another port: 0.0.0.0:8081",
        ),
        (
            format!("127.0.0.1:9000 {HOST}"),
            "stop the program that holds the port, and wait a minute: its connections keep",
        ),
    ] {
        let out = line(&args).out;
        let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said), "{args}: {said}\n{out}");
    }
}

/// A note that lifting the obstacle would not do stands only where no single change helps.
#[test]
fn what_still_fails_contradicts_no_fix() {
    let mut seen = 0;
    for address in ["127.0.0.1", "[::]", "[::ffff:127.0.0.1]", "198.51.100.1", "[2001:db8:1::5]"] {
        for port in [80, 3000, 4080, 5000, 8080, 9000, 12345, 40254] {
            let text = line(&format!("why --json {address}:{port} {HOST} --as 1001")).out;
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let answer = &json["answers"][0];
            let notes = answer["notes"].as_array().unwrap();
            if notes.iter().any(|note| note["id"] == "next-obstacle") {
                seen += 1;
                for fix in answer["fixes"].as_array().unwrap() {
                    assert!(fix["id"].as_str().unwrap().contains('+'), "{address}:{port} {fix}");
                }
            }
        }
    }
    assert!(seen > 0, "no question has two obstacles");
}

#[test]
fn why_verbose() {
    snapshot("why_verbose", transcript(&["why -v 127.0.0.1:80 --on macos-10.14.2"]));
}

#[test]
fn why_json() {
    snapshot("why_json", transcript(&["why --json 127.0.0.1:8080 HOST"]));
}

#[test]
fn check_text_and_json() {
    snapshot(
        "check_text_and_json",
        transcript(&[
            "check 127.0.0.1:80 8080 *:53/udp [::0]:443 --on linux-6.12",
            "check localhost:3000 --on macos-15",
            "check 127.0.0.1:8080 12345 127.0.0.1:4081 HOST",
            "check -q 127.0.0.1:80 --on linux-6.12",
            "check --json 192.0.2.10:80 --on linux-6.12",
        ]),
    );
}

#[test]
fn explain_text_and_json() {
    snapshot(
        "explain_text_and_json",
        transcript(&[
            "explain xnu.wildcard-exempt",
            "explain 0.0.0.0",
            "explain [::]",
            "explain 127.0.0.1",
            "explain ::1",
            "explain ::ffff:0.0.0.0",
            "explain 255.255.255.255",
            "explain 224.0.0.1",
            "explain fe80::1",
            "explain localhost",
            "explain --json ::1",
            "explain reserved-prot",
        ]),
    );
}

#[test]
fn explain_lists_every_rule_and_prints_its_page() {
    let list = line("explain").out;
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for rule in portwise_model::rules() {
        assert!(list.contains(rule.id), "{}", rule.id);
        let page = line(&format!("explain {}", rule.id));
        assert!(words(&page.out).contains(&words(rule.page)), "{}\n{}", rule.id, page.out);
        assert_eq!(page.status, 0);
    }
    for feature in portwise_model::features() {
        assert!(list.contains(feature.id), "{}", feature.id);
        assert_eq!(line(&format!("explain {}", feature.id)).status, 0);
    }
}

#[test]
fn facts_text() {
    snapshot("facts_text", transcript(&["facts HOST", "facts --on macos-15"]));
}

#[test]
fn help() {
    let mut text = String::new();
    for verb in ["", "why ", "check ", "free ", "explain ", "facts "] {
        text += &transcript(&[&format!("{verb}--help")]);
    }
    snapshot("help", text);
}

#[test]
fn facts_written_and_read_again_give_the_same_answers() {
    let there = tempfile::tempdir().unwrap();
    let file = there.path().join("facts.json");
    let file = file.to_str().unwrap();
    for (from, endpoints) in [
        ("--on linux-6.12 --has 192.0.2.10/24", "127.0.0.1:80 192.0.2.10:8080 198.51.100.1:80"),
        ("--on macos-10.14.2", "127.0.0.1:80 0.0.0.0:80 198.51.100.1:8080 [::]:0"),
        (HOST, "8080 12345 127.0.0.1:5000 5353/udp 127.0.0.1:3000 [2001:db8:1::5]:80"),
    ] {
        assert_eq!(line(&format!("facts {from} -o {file}")).status, 0);
        for verb in ["why", "check"] {
            let options = "--reuseaddr --reuseport";
            let first = line(&format!("{verb} {endpoints} {options} {from}"));
            let again = line(&format!("{verb} {endpoints} {options} --facts {file}"));
            assert_eq!((first.status, first.out), (again.status, again.out), "{from}");
        }
        let printed = line(&format!("facts --json --facts {file}"));
        assert_eq!(printed.out, std::fs::read_to_string(file).unwrap());
    }
}

#[test]
fn mistakes_get_one_line_and_status_2() {
    for (args, said) in [
        ("why 127.0.0.1:99999", "above 65535"),
        ("127.0.0.1", "the port is missing"),
        ("check 80 x --on linux-6.12", "bad endpoint `x`"),
        ("check 80 --on plan9", "--on: there are no rules for `plan9`"),
        ("check 80 --on linux-x", "--on: `x` is no version"),
        ("check 80 --on macos-10.9", "--on: `macos-10.9` is before macOS 10.11"),
        ("check 80 --on linux-6.12 --has 10.0.0.1", "--has: `/LENGTH` is missing"),
        ("check 80 --on linux-6.12 --has 10.0.0.1/33", "--has: the length `33`"),
        ("check 80 --on linux-6.12 --has x/24", "--has: `x` is no IP address"),
        ("check 80 --on linux-6.12 --as nobody-here", "--as: no user `nobody-here`"),
        ("check host.example:80 --on linux-6.12", "would be resolved by another machine"),
        ("check [fe80::1%eth9]:80 --on linux-6.12", "no interface `eth9`"),
        ("check 80 --dev eth9 --on linux-6.12", "no interface `eth9`"),
        ("check 80 --facts /nowhere/facts.json", "cannot read /nowhere/facts.json"),
        ("explain nothing", "nothing is called `nothing`"),
        ("facts -o /nowhere/facts.json --on linux-6.12", "cannot write /nowhere/facts.json"),
    ] {
        let run = line(args);
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{args}");
        assert!(run.err.starts_with("portwise: ") && run.err.contains(said), "{args}: {}", run.err);
        assert_eq!(run.err.lines().count(), 1, "{args}: {}", run.err);
    }
}

#[test]
fn a_wrong_command_line_gets_one_line_too() {
    for (args, said) in [
        ("check", "required arguments were not provided: <ENDPOINT>..."),
        ("check 80 --on", "a value is required for '--on <KERNEL>'"),
        ("why --as", "a value is required for '--as"),
        ("80 --has 10.0.0.1/8", "not provided: --on <KERNEL>"),
        ("80 -4 -6", "'--ipv4' cannot be used with '--ipv6'"),
        ("80 --color blue", "[possible values: auto, always, never]"),
        ("why 80 --resueaddr", "; a similar argument exists: '--reuseaddr'"),
        ("why 80 --xyzzy", "unexpected argument '--xyzzy' found; see `portwise --help`"),
        ("chekc 80", "`chekc` is neither a verb (`portwise --help` lists them) nor an endpoint"),
        ("facts x", "unexpected argument 'x'"),
        ("80 --\u{202e}x", "unexpected argument '--\\u{202e}x'"),
    ] {
        let run = line(args);
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{args}");
        assert!(run.err.starts_with("portwise: ") && run.err.contains(said), "{args}: {}", run.err);
        assert_eq!(run.err.lines().count(), 1, "{args}: {}", run.err);
    }
}

#[test]
fn broken_facts_files_are_no_panic() {
    let there = tempfile::tempdir().unwrap();
    let file = there.path().join("facts.json");
    let good = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/host.json")).unwrap();
    let path = file.to_str().unwrap();
    for cut in (0..good.len()).step_by(997) {
        std::fs::write(&file, &good[..cut]).unwrap();
        assert_eq!(line(&format!("check 8080 --facts {path}")).status, 2, "cut at {cut}");
    }
    let text = String::from_utf8(good).unwrap();
    std::fs::write(&file, text.replace("portwise.facts/1", "portwise.facts/9")).unwrap();
    assert!(line(&format!("check 8080 --facts {path}")).err.contains("portwise.facts/9"));
}

#[test]
fn nothing_a_process_calls_itself_reaches_the_terminal() {
    let run = line(&format!("why 8080 {HOST}"));
    assert!(run.out.contains("ng\\u{1b}[2Jinx\\u{202e}gnp"), "{}", run.out);
    let json = line(&format!("why --json 8080 {HOST}"));
    for text in [run.out, json.out] {
        assert!(!text.chars().any(|c| c != '\n' && portwise::render::is_harmful(c)));
    }
}

#[test]
fn colour_only_when_wanted() {
    let colored = |args: &str| line(args).out.contains('\x1b');
    assert!(!colored("127.0.0.1:80 --on linux-6.12"));
    assert!(colored("127.0.0.1:80 --on linux-6.12 --color always"));
    assert!(!colored("127.0.0.1:80 --on linux-6.12 --color never"));
    let plain = line("127.0.0.1:80 --on linux-6.12 --color always").out;
    let mut rest = plain.as_str();
    let mut without = String::new();
    while let Some((before, after)) = rest.split_once('\x1b') {
        without += before;
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(without + rest, line("127.0.0.1:80 --on linux-6.12").out);
}
