//! Error messages of runtimes and servers, as people paste them.

mod common;

use std::collections::BTreeSet;

use portwise::pasted::{self, Claim, NotUnderstood, System};
use proptest::prelude::*;

const MESSAGES: &str = include_str!("data/pasted.txt");

/// Runtime, what it means, and the message.
fn messages() -> Vec<(&'static str, String, &'static str)> {
    let blocks = MESSAGES.split("\n== ").skip(1);
    blocks
        .map(|block| {
            let (head, message) = block.split_once('\n').expect("a message below its meaning");
            let mut fields = head.split(" | ");
            let runtime = fields.next().unwrap();
            (runtime, fields.collect::<Vec<_>>().join(" "), message)
        })
        .collect()
}

fn meaning(message: &str) -> String {
    match pasted::read(message) {
        Ok(read) => {
            let errno = read.errno.map_or("-", |told| told.errno.name());
            format!("{}/{} {errno}", read.endpoint.text, read.endpoint.protocol.name())
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_message_is_read_right() {
    let messages = messages();
    let wrong: Vec<String> = messages
        .iter()
        .filter(|(_, meant, message)| meaning(message) != *meant)
        .map(|(runtime, meant, message)| {
            format!("{runtime}: {}\n  meant {meant}\n{message}", meaning(message))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), messages.len(), wrong.join("\n\n"));
    let runtimes: BTreeSet<&str> = messages.iter().map(|(runtime, ..)| *runtime).collect();
    assert!(messages.len() >= 100 && runtimes.len() >= 40, "{} {}", messages.len(), runtimes.len());
}

#[test]
fn what_a_message_advises() {
    let hint = |message| pasted::read(message).unwrap().hint.map(|hint| (hint.claim, hint.text));
    for (message, claim, text) in [
        (
            "could not bind IPv4 address \"127.0.0.1\": Permission denied\nHINT:  Is another \
             postmaster already running on port 666? If not, wait a few seconds and retry.",
            Claim::Busy,
            "Is another postmaster already running on port 666?",
        ),
        (
            "Unable to bind to address /10.0.0.9:7000. Set listen_address in cassandra.yaml to an \
             interface you can bind to\njava.net.BindException: Cannot assign requested address",
            Claim::Address,
            "Set listen_address in cassandra.yaml to an interface you can bind to",
        ),
        (
            "Error: listen EACCES: permission denied 0.0.0.0:80\nTry again with sudo.",
            Claim::Privilege,
            "Try again with sudo",
        ),
    ] {
        assert_eq!(hint(message), Some((claim, text.into())));
    }
    assert_eq!(hint("listen tcp :80: bind: permission denied"), None);
}

#[test]
fn the_system_and_the_other_endpoints_of_a_message() {
    let system = |message| pasted::read(message).unwrap().errno.unwrap().system;
    assert_eq!(
        system("bind() to 0.0.0.0:80 failed (98: Address already in use)"),
        Some(System::Linux)
    );
    assert_eq!(system("OSError: [Errno 48] bind 127.0.0.1:80"), Some(System::Macos));
    assert_eq!(system("listen tcp :80: bind: WSAEACCES"), Some(System::Windows));
    assert_eq!(system("listen tcp :80: bind: permission denied"), None);
    let both = "bind() to 0.0.0.0:80 failed (13: x)\nbind() to [::]:80 failed (13: x)";
    let also: Vec<String> =
        pasted::read(both).unwrap().also.into_iter().map(|endpoint| endpoint.text).collect();
    assert_eq!(also, ["[::]:80"]);
}

#[test]
fn too_little_gets_one_line_that_says_what_is_missing() {
    for (text, said) in [
        ("good morning", "neither an endpoint nor an error message"),
        ("lunch at 12:30 with bob", "neither an endpoint nor an error message"),
        ("", "neither an endpoint nor an error message"),
        ("see src/main.rs:4:44 for the error", "neither an endpoint nor an error message"),
        ("bind: Address already in use", "tells EADDRINUSE but no address or port"),
        (
            "could not bind IPv4 address \"192.0.2.1\": Permission denied",
            "192.0.2.1:8080 --got EACCES",
        ),
        ("server listening on 127.0.0.1:80, all is well", "names 127.0.0.1:80 but no failure"),
        (
            "dial tcp 127.0.0.1:80: connect: connection refused",
            "ECONNREFUSED is an answer to connect",
        ),
        ("cannot bind", "tells a failure but no address or port"),
    ] {
        let error = pasted::read(text).expect_err(text).to_string();
        assert!(error.contains(said) && error.lines().count() == 1, "{text}: {error}");
    }
    let long = "x ".repeat(pasted::LONGEST);
    assert_eq!(pasted::read(&long), Err(NotUnderstood::TooLong));
}

/// Pieces that messages are made of, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "bind",
        "listen",
        "port",
        "(",
        ")",
        "[",
        "]",
        ":",
        "::",
        ":::",
        "%",
        "#",
        "/",
        "//",
        "80",
        "65536",
        "0.0.0.0",
        "fe80::1%",
        "htons(",
        "('', ",
        "errno",
        "98",
        "\\n",
        "\n",
        "\u{1b}[",
        "\u{1b}]",
        "in use?",
        "permission denied",
        "->",
        " ",
        "é",
        "/tcp",
        "localhost",
        "instead",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), pieces in pieces()) {
        for text in [text, pieces] {
            match pasted::read(&text) {
                Ok(read) => prop_assert!(read.endpoint.text.parse::<portwise::Endpoint>().is_ok()),
                Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
            }
        }
    }
}
