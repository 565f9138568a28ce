//! The question that started portwise, asked of every kernel it was about.

mod common;

/// Six addresses a server may be bound to, of which two are unspecified.
const ADDRESSES: [&str; 6] =
    ["127.0.0.1", "[::1]", "192.0.2.10", "[2001:db8:1::7]", "0.0.0.0", "[::]"];
const LAN: &str = "--has 192.0.2.10/24 --has 2001:db8:1::7/64";

/// Returns the second and third field of each line, and the exit status.
fn check(port: u16, rest: &str) -> (Vec<(String, String)>, u8) {
    let endpoints: Vec<String> = ADDRESSES.iter().map(|ip| format!("{ip}:{port}")).collect();
    let run = common::line(&format!("check {} {rest}", endpoints.join(" ")));
    let fields = |line: &str| -> Vec<String> { line.split_whitespace().map(Into::into).collect() };
    let lines: Vec<Vec<String>> = run.out.lines().map(fields).collect();
    for (line, endpoint) in lines.iter().zip(&endpoints) {
        assert_eq!((line.len(), &line[0]), (4, &format!("{endpoint}/tcp")), "{}", run.out);
    }
    let answers = lines.into_iter().map(|line| (line[1].clone(), line[2].clone())).collect();
    (answers, run.status)
}

fn answers(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

const NO: (&str, &str) = ("no", "EACCES");
const YES: (&str, &str) = ("yes", "-");

#[test]
fn the_six_addresses() {
    for port in [80, 1023] {
        for (kernel, expected) in [
            ("macos-10.13.6", [NO; 6]),
            ("macos-10.14.2", [NO, NO, NO, NO, YES, YES]),
            ("xnu-4903.231.4", [NO, NO, NO, NO, YES, YES]),
            ("macos-11.5", [NO, NO, NO, NO, YES, YES]),
            ("macos-15", [NO, NO, NO, NO, YES, YES]),
            ("linux-6.12", [NO; 6]),
        ] {
            let asked = check(port, &format!("--on {kernel} --as 501 {LAN}"));
            assert_eq!(asked, (answers(&expected), 1), "{kernel} port {port}");
            let root = check(port, &format!("--on {kernel} --as 0 {LAN}"));
            assert_eq!(root, (answers(&[YES; 6]), 0), "{kernel} port {port} as root");
        }
    }
    for kernel in ["macos-10.13.6", "macos-10.14.2", "macos-11.5", "macos-15", "linux-6.12"] {
        for who in ["501", "0"] {
            let asked = check(1024, &format!("--on {kernel} --as {who} {LAN}"));
            assert_eq!(asked, (answers(&[YES; 6]), 0), "{kernel} as {who}");
        }
    }
}

#[test]
fn an_address_nobody_told_of_stays_open() {
    let both = ("no", "EADDRNOTAVAIL|EACCES");
    let open = ("unknown", "EADDRNOTAVAIL");
    for (kernel, low, status_low) in [
        ("macos-10.14.2", [NO, NO, both, both, YES, YES], 1),
        ("macos-15", [NO, NO, both, both, YES, YES], 1),
        ("linux-6.12", [NO, NO, both, NO, NO, NO], 1),
    ] {
        let asked = check(80, &format!("--on {kernel} --as 501"));
        assert_eq!(asked, (answers(&low), status_low), "{kernel}");
        let high = [YES, YES, open, open, YES, YES];
        assert_eq!(
            check(8080, &format!("--on {kernel} --as 501")),
            (answers(&high), 3),
            "{kernel}"
        );
    }
}

#[test]
fn between_two_published_versions_the_answer_is_open() {
    let (found, status) = check(80, &format!("--on macos-10.14 --as 501 {LAN}"));
    assert_eq!(status, 1);
    assert_eq!(found[4], ("unknown".into(), "EACCES".into()));
}

#[test]
fn macos_says_that_the_unspecified_address_would_do() {
    let run = common::line("why 127.0.0.1:80 --on macos-10.14.2 --as 501");
    let flat = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "0.0.0.0:80 would be allowed",
        "since macOS 10.14.1 (xnu-4903.221.2), not yet in macOS 10.13.6 (xnu-4570.71.2)",
        "apple-oss-distributions/xnu xnu-4903.221.2 bsd/netinet/in_pcb.c in_pcbbind",
        "IPNOPRIVPORTS is not the reason",
    ] {
        assert!(flat.contains(said), "{said}\n{}", run.out);
    }
    assert_eq!(run.status, 1);
    let old = common::line("why 127.0.0.1:80 --on macos-10.13.6 --as 501").out;
    let flat = old.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("0.0.0.0:80 fails the same way; since macOS 10.14.1"), "{old}");
    assert!(!flat.contains("would be allowed:"), "{old}");
}
