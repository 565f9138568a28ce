//! `docs/reference/` is what the registry and the command say: compared by default, written anew
//! with `PORTWISE_BLESS=1`.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs};

use portwise_model::{
    Basis, Call, Choice, Cite, Exception, Family, Feature, KernelFamily, Protocol, Request, Rule,
    SockAddr, Socket, SocketId, TOPICS, choices, exec_path, features, path, rules,
};

const BLESS: &str = "PORTWISE_BLESS=1 cargo test -p portwise --test docs";

#[test]
fn rules_reference_is_current() {
    compare("rules.md", &rules_reference());
}

#[test]
fn kernels_reference_is_current() {
    compare("kernels.md", &kernels_reference());
}

#[test]
fn cli_reference_is_current() {
    compare("cli.md", &cli_reference());
}

/// What `reach` understands of the rules of a firewall.
#[test]
#[cfg(target_os = "linux")]
fn firewall_reference_is_current() {
    let mut text = format!(
        "# What `reach` understands of a firewall\n\nGenerated from the readers of the rules by \
         `{BLESS}`. Change those, not this file.\n\nRules are read from the kernel, whoever wrote them: \
         nf_tables (nft, firewalld, the\nnftables variant of iptables), the legacy tables of \
         iptables, and the sets of ipset. What\nis open goes both ways: if both ways end alike, \
         that is the answer, else it is `unknown`, with\nthe rule and what decides. What is not \
         listed ends in `unknown` with the rule's name; it is\nnever passed over.\n"
    );
    for (section, names) in portwise::observe::firewall_support() {
        write!(text, "\n## {section}\n\n| name | understood |\n|---|---|\n").unwrap();
        for (name, how) in names {
            writeln!(text, "| {name} | {how} |").unwrap();
        }
    }
    compare("firewall.md", &text);
}

/// What the README and the guide show of other kernels and recorded scenarios depends on nothing
/// here, so it has to be what is printed.
#[test]
fn readme_and_guide_show_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![root.join("README.md")];
    let guide = fs::read_dir(root.join("docs/guide")).expect("there is a guide");
    files.extend(guide.flatten().map(|entry| entry.path()));
    let seen: usize = files.iter().map(|file| shows_what_is_printed(file)).sum();
    assert!(seen > 4, "only {seen} examples");
}

/// Returns how many examples were compared.
fn shows_what_is_printed(file: &Path) -> usize {
    let text = fs::read_to_string(file).expect("there is such a file");
    let mut blocks: Vec<String> = text.split("```").map(str::to_owned).collect();
    let mut seen = 0;
    for block in blocks.iter_mut().skip(1).step_by(2) {
        let Some((command, shown)) = block.trim_start().split_once('\n') else { continue };
        let Some(args) = command.strip_prefix("$ portwise ") else { continue };
        let (args, tail) = match args.split_once(" | tail -n ") {
            Some((args, n)) => (args, n.parse().expect("a number of lines")),
            None => (args, usize::MAX),
        };
        let is_fixed = args.starts_with("conform tests/data/");
        if !args.contains("--on ") && !is_fixed {
            continue;
        }
        let args: Vec<&str> = args.split_whitespace().map(|arg| arg.trim_matches('\'')).collect();
        let output = portwise(&args);
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        let skipped = printed.lines().count().saturating_sub(tail);
        let printed: String = printed.split_inclusive('\n').skip(skipped).collect();
        if !is_blessed() {
            assert_eq!(shown, printed, "{}: {command}", file.display());
        }
        *block = format!("\n{command}\n{printed}");
        seen += 1;
    }
    if is_blessed() {
        fs::write(file, blocks.join("```")).unwrap();
    }
    seen
}

fn is_blessed() -> bool {
    env::var_os("PORTWISE_BLESS").is_some_and(|value| value == "1")
}

/// Compares a generated file with the one in the repository, or writes it.
fn compare(name: &str, generated: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if is_blessed() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, generated).unwrap();
        return;
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    let lines = there.lines().zip(generated.lines()).take_while(|(a, b)| a == b).count();
    assert!(
        there == generated,
        "docs/reference/{name} is not current from line {} on; write it anew with\n{BLESS}",
        lines + 1
    );
}

fn rules_reference() -> String {
    let mut text = format!(
        "# Rules\n\nGenerated from the registry by `{BLESS}`. Change the rule or its page, not this file.\n"
    );
    for kernel in KernelFamily::ALL {
        let name = kernel.title();
        let of_kernel = |id: &str| id.split('.').next() == Some(kernel.name());
        let rules: Vec<&Rule> = rules().into_iter().filter(|rule| of_kernel(rule.id)).collect();
        let features: Vec<&Feature> = features().filter(|f| of_kernel(f.id)).collect();
        if rules.is_empty() {
            continue;
        }
        write!(text, "\n## {name}\n\n").unwrap();
        text.push_str(&table(&rules));
        text.push_str(&orders(kernel));
        text.push_str(&exec_order(kernel));
        text.push_str(&versions(&features));
        rules.iter().for_each(|rule| text.push_str(&page(rule)));
        lookup_order(&mut text, kernel);
    }
    text
}

/// The table of subjects by kernel, the titles of rules in its cells.
fn kernels_reference() -> String {
    let mut text = format!(
        "# Kernels\n\nGenerated from the registry by `{BLESS}`. What is empty has no rule of its own, or was not read.\n\n"
    );
    let names: Vec<&str> = KernelFamily::ALL.iter().map(|family| family.title()).collect();
    writeln!(text, "| subject | {} |", names.join(" | ")).unwrap();
    writeln!(text, "|---|{}", "---|".repeat(names.len())).unwrap();
    let title = |wanted: &str| {
        let rule = rules().into_iter().find(|rule| rule.id == wanted).map(|rule| rule.title);
        rule.or_else(|| choices().find(|c| c.id == wanted).map(|c| c.title)).unwrap_or_default()
    };
    for topic in TOPICS {
        let cell = |family: KernelFamily| {
            let own = |id: &&&str| id.split('.').next() == Some(family.name());
            let ids = topic.ids.iter().filter(own);
            let links = ids.map(|id| format!("[{}](rules.md#{})", title(id), id.replace('.', "")));
            links.collect::<Vec<_>>().join("; ")
        };
        let cells: Vec<String> = KernelFamily::ALL.into_iter().map(cell).collect();
        writeln!(text, "| **{}**: {} | {} |", topic.id, topic.title, cells.join(" | ")).unwrap();
    }
    text
}

fn table(rules: &[&Rule]) -> String {
    let mut text = String::from("| rule | requirement | else |\n|---|---|---|\n");
    for rule in rules {
        let anchor: String = rule.id.chars().filter(|&c| c != '.').collect();
        writeln!(text, "| [`{}`](#{anchor}) | {} | `{}` |", rule.id, rule.title, rule.outcome)
            .unwrap();
    }
    text
}

/// In which order the kernel makes its checks, for the calls whose lists differ.
fn orders(kernel: KernelFamily) -> String {
    let mut text = String::from("\n### In which order\n");
    for (family, protocol) in [
        (Family::Inet, Protocol::Tcp),
        (Family::Inet, Protocol::Udp),
        (Family::Inet6, Protocol::Tcp),
        (Family::Inet6, Protocol::Udp),
    ] {
        let addr = match family {
            Family::Inet => SockAddr::v4(Ipv4Addr::LOCALHOST, 80),
            Family::Inet6 => SockAddr::v6(Ipv6Addr::LOCALHOST, 80, 0),
        };
        let socket = Socket::new(SocketId(0), family, protocol, 0);
        for (call, verb) in [
            (Call::Bind(addr), "bind"),
            (Call::Listen(1), "listen"),
            (Call::Connect(addr), "connect"),
        ] {
            let list = path(kernel, &Request { call, socket });
            if list.is_empty() {
                continue;
            }
            writeln!(text, "\n`{verb}`, {} {}:", family_name(family), protocol_name(protocol))
                .unwrap();
            for (n, rule) in list.iter().enumerate() {
                writeln!(text, "{}. {} (`{}`)", n + 1, rule.title, rule.outcome).unwrap();
            }
        }
    }
    text
}

/// The checks before a program is started, which come before all others where one is named.
fn exec_order(kernel: KernelFamily) -> String {
    let list = exec_path(kernel);
    if list.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n`execve`, where a program is named:\n");
    for (n, rule) in list.iter().enumerate() {
        writeln!(text, "{}. {} (`{}`)", n + 1, rule.title, rule.outcome).unwrap();
    }
    text
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Inet => "IPv4",
        Family::Inet6 => "IPv6",
    }
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

fn versions(features: &[&Feature]) -> String {
    if features.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n### What differs between versions\n\nWhat lies between the two columns was not read. On the running kernel a probe may overrule\nthe version: distributions carry changes back.\n\n| feature | what is so with it | last without | first with | except |\n|---|---|---|---|---|\n",
    );
    for f in features {
        let without = f.last_without.map_or_else(|| "-".to_owned(), |version| version.to_string());
        let except: Vec<String> = f.exceptions.iter().map(exception).collect();
        let (first, except) = (f.first_with, except.join(", "));
        writeln!(text, "| `{}` | {} | {without} | {first} | {except} |", f.id, f.title).unwrap();
    }
    text
}

fn exception(exception: &Exception) -> String {
    let Exception { has, from, below } = exception;
    format!("{} from {from} to before {below}", if *has { "in" } else { "not in" })
}

/// The page of a rule, its headings two levels down, with how the rule is known.
fn page(rule: &Rule) -> String {
    let mut text = format!("\n### {}\n", rule.id);
    markdown(&mut text, rule.page, &format!(", else `{}`", rule.outcome));
    known(&mut text, rule.basis, rule.cites);
    text
}

/// A page with its headings two levels down; `after` stands behind its title.
fn markdown(text: &mut String, page: &str, after: &str) {
    let mut code = false;
    for line in page.lines() {
        code ^= line.trim_start().starts_with("```");
        match line.strip_prefix("# ").or(line.strip_prefix("## ")).filter(|_| !code) {
            Some(title) if line.starts_with("# ") => writeln!(text, "**{title}**{after}").unwrap(),
            Some(section) => writeln!(text, "#### {section}").unwrap(),
            None => writeln!(text, "{line}").unwrap(),
        }
    }
}

fn known(text: &mut String, basis: Basis, cites: &[Cite]) {
    let note = match basis {
        Basis::Measured(note) => format!(" ([{note}](../../{note}))"),
        _ => String::new(),
    };
    write!(text, "\n#### How it is known\n{}{note}\n", capitalized(basis.word())).unwrap();
    cites.iter().for_each(|cite| text.push_str(&source(cite)));
}

/// Which socket gets a packet: the steps, in the kernel's order, and their pages.
fn lookup_order(text: &mut String, kernel: KernelFamily) {
    let of_kernel = |choice: &&Choice| choice.id.split('.').next() == Some(kernel.name());
    let steps: Vec<&Choice> = choices().filter(of_kernel).collect();
    if steps.is_empty() {
        return;
    }
    text.push_str("\n### Who gets a packet\n\n");
    for (n, step) in steps.iter().enumerate() {
        writeln!(text, "{}. [{}](#{})", n + 1, step.title, step.id.replace('.', "")).unwrap();
    }
    for step in steps {
        write!(text, "\n### {}\n", step.id).unwrap();
        markdown(text, step.page, "");
        known(text, step.basis, step.cites);
    }
}

fn source(cite: &Cite) -> String {
    let Cite { repo, rev, path, function, needle } = cite;
    format!("- {repo} {rev}, `{path}`, `{function}`: `{needle}`\n")
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The help of the command and of each verb it names.
fn cli_reference() -> String {
    let overview = help(&[]);
    let commands = overview.split("\nCommands:\n").nth(1).unwrap_or("");
    let commands = commands.split("\n\n").next().unwrap_or("");
    let names = commands.lines().filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' ')).filter_map(|l| l.split(' ').next());
    let mut text = format!(
        "# The command line\n\nGenerated from `--help` by `{BLESS}`. Change the command, not this file.\n\n```\n{overview}```\n"
    );
    for name in names {
        write!(text, "\n## portwise {name}\n\n```\n{}```\n", help(&[name])).unwrap();
    }
    text
}

/// What `portwise ARGS --help` prints where there is no terminal.
fn help(args: &[&str]) -> String {
    let output = portwise(&[args, &["--help"]].concat());
    assert!(output.status.success(), "{args:?} --help: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("help is UTF-8");
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn portwise(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwise"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    command.args(args).current_dir(root).output().expect("the command runs")
}
