//! The command line: what is common to the verbs, and which verb runs.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use portwise_model::Family;

use crate::{
    Endpoint, Setting, SocketSettings, Trouble,
    observe::{
        assumed,
        assumed::Has,
        file::Facts,
        live,
        user::{self, Directory, Named},
    },
    render::{page::Style, text::Detail},
    usage::{no_verb, usage},
    verb,
};

/// Whether you may bind an address and port, which kernel rule stops it and why, who holds the
/// port, and the smallest fix.
#[derive(Debug, Parser)]
#[command(
    name = "portwise",
    version,
    disable_help_subcommand = true,
    term_width = 80,
    after_help = EXAMPLES
)]
struct Top {
    /// Without a verb: the same as `why ENDPOINT…`; an error message will do too; without
    /// anything the same as `list`
    #[arg(value_name = "ENDPOINT")]
    endpoints: Vec<String>,
    #[command(flatten)]
    got: verb::why::GotArg,
    #[command(flatten)]
    program: ProgramArg,
    #[command(flatten)]
    global: Global,
}

/// A command line, parsed.
struct Cli {
    top: Top,
    verb: Option<Verb>,
}

impl Cli {
    fn parse(args: Vec<OsString>) -> Result<Cli, clap::Error> {
        let verb = args.get(1).and_then(|arg| arg.to_str());
        let matches = asked(verb).try_get_matches_from(args)?;
        let verb = match matches.subcommand_name() {
            Some(_) => Some(Verb::from_arg_matches(&matches)?),
            None => None,
        };
        Ok(Cli { top: Top::from_arg_matches(&matches)?, verb })
    }
}

/// The command line; with only this verb, if it is one. Each option of every verb is made for each
/// verb, which takes as long as many an answer.
fn asked(verb: Option<&str>) -> clap::Command {
    let verbs = Verb::augment_subcommands(clap::Command::new(""));
    match verb.and_then(|name| verbs.find_subcommand(name)) {
        Some(only) => Top::command().subcommand(only.clone()),
        None => command(),
    }
}

const EXAMPLES: &str = "\
Examples:
  portwise                                  every bound socket and who holds it
  portwise 127.0.0.1:80                     may I bind it, and if not, why?
  portwise why 8080                         the same for a port, with all its owners
  portwise 127.0.0.1:80 -- php -S 127.0.0.1:80     may that program?
  portwise check '*:443' [::1]:53/udp       one line each, and an exit status
  portwise check 0.0.0.0:80 --on macos-15   the same question to another kernel
  portwise 'listen tcp :80: bind: permission denied'

Exit status: 0 yes, 1 no, 2 usage or trouble, 3 cannot be known from here";

const WHY_EXAMPLES: &str = "\
Examples:
  portwise why 127.0.0.1:80
  portwise why 8080 -v                      with every rule that was tried
  portwise why localhost:3000               each address the name stands for
  portwise why [fe80::1%eth0]:8080          with the zone of a link-local address
  portwise why 0.0.0.0:53/udp --reuseport --as alice
  portwise why 80 --as www-data -- /usr/sbin/nginx     that program, started by that user
  portwise why 80 --pid 4711                in place of a running process
  portwise why 127.0.0.1:80 --on macos-10.14.2
  portwise why 192.0.2.10:80 --on linux-5.10 --has 192.0.2.10/24
  portwise why unix:/run/app.sock           a Unix socket
  portwise why 8080 --got EACCES            what could have given a program that
  portwise why 'listen EADDRINUSE: address already in use :::3000'
  journalctl -u nginx -n 9 | portwise why -
  portwise why 8080 --facts there.json      on the machine where `facts -o` wrote that file";

const CHECK_EXAMPLES: &str = "\
Each line: ENDPOINT/PROTOCOL  yes|no|unknown  ERRNO  RULE, blanks between, `-` for nothing,
several joined by `|`. Notes go to standard error.

Examples:
  portwise check 127.0.0.1:80 [::1]:80
  portwise check -q 8080 && echo free
  portwise check 0.0.0.0:80 -- ./server     started by you
  portwise check '*:80' --on linux-6.12 --as 0";

const LIST_EXAMPLES: &str = "\
On a terminal grouped by port; otherwise one row for each socket and holder, nothing cut, each
column one word but the last. Every network namespace is listed that may be looked into; --netns
asks for one, --pid for what a process has open. Who can send to a socket is said by addresses and
routes, whatever a firewall does; --exposed asks its rules too, as root.

Examples:
  portwise                                  every socket that listens or is bound
  portwise list -t --exposed                TCP that others can reach
  portwise list 8080 --all                  all that is on a port, connections too
  portwise list time-wait
  portwise list 127.0.0.1                   what gets packets sent there
  portwise list --user www-data --json-lines
  sudo portwise list --netns web --watch 2

Exit status: 0 something is listed, 1 nothing is, 2 usage or trouble, 3 nothing is, and some
sockets could not be seen";

const FREE_EXAMPLES: &str = "\
Prints ports alone, one a line. Each was bound once and closed again; another program may be
quicker, so bind it soon. Ports below 1024, those the kernel gives out by itself
(ip_local_port_range) and reserved ones (ip_local_reserved_ports) are passed over, unless the
port or range asked for is one of them.

Examples:
  portwise free                             one that is free on every address
  portwise free 3000                        3000 or the next one
  portwise free localhost:3000              free on 127.0.0.1 and on ::1
  portwise free '*:5353/udp' --count 3
  portwise free 127.0.0.1 --near 8080
  portwise free --range 9000-9099 --reuseaddr

Exit status: 0 found, 1 none or too few, 2 usage or trouble, 3 too few, and some unknown";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  portwise explain                          every rule and feature
  portwise explain linux.bind.reserved-port
  portwise explain 0.0.0.0                  what an address means and covers
  portwise explain --cites                  every place in a source that is cited";

const FACTS_EXAMPLES: &str = "\
Examples:
  portwise facts
  sudo portwise facts -o there.json         then, anywhere: portwise why 80 --facts there.json
  portwise facts -o there.json -- ./server  the same for that program
  portwise facts --on macos-15              what is assumed of that kernel";

const REACH_EXAMPLES: &str = "\
Nothing is sent, and no rule is touched. Without --from: one answer for each kind of place that
packets to this host come from. Root is needed to read the rules of the firewall.

Examples:
  sudo portwise reach 443
  sudo portwise reach 192.0.2.10:443 --from 198.51.100.7        from far away
  sudo portwise reach 192.0.2.10:53/udp --from 192.0.2.20%eth0 -v
  sudo portwise reach 127.0.0.1:8080 --from 127.0.0.1%lo --as www-data

Exit status: 0 accepted or forwarded, 1 refused, silent or no route, 3 unknown";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  portwise completions bash >~/.local/share/bash-completion/completions/portwise
  portwise completions zsh >~/.zfunc/_portwise     in a directory of $fpath
  portwise completions fish >~/.config/fish/completions/portwise.fish";

#[cfg(target_os = "linux")]
const TRY_EXAMPLES: &str = "\
One row for each endpoint, one column for each address it is connected at: from this host, from a
neighbour, from behind a router. A cell has one word where prediction and observation agree,
`!PREDICTED/OBSERVED` where they do not.

Examples:
  portwise try 127.0.0.1:80 [::1]:80 '*:8080'
  portwise try 127.0.0.1:8080 [::]:8080 -- php -S {addr}:{port}
  portwise try 8080 --client 'curl -sS http://{endpoint}/' -- php -S {addr}:{port}
  sudo portwise try 0.0.0.0:80 --as www-data
  portwise try 127.0.0.1:8080 --here        on the network itself

Exit status: 0 all as predicted, 1 something is not, 2 usage or trouble";

const CONFORM_EXAMPLES: &str = "\
The last two lines count: `steps: N checked, A agree, D disagree` and
`conform: N scenarios, A agree, D disagree, U unsupported`.

Examples:
  portwise conform tests/data/linux-own.jsonl
  sudo portwise conform tests/data/linux-own.jsonl --live
  portwise conform recorded.jsonl.gz --on xnu-4903.231.4
  sudo portwise conform --random 200000 --seed 7   with calls by several users
  portwise conform --random 20000                  the same with one, in a user namespace
  sudo portwise conform --random-rules 1000        packets through random firewalls
  sudo portwise conform --features                 what this kernel has of what differs";

#[derive(Debug, Subcommand)]
enum Verb {
    /// May it be bound, what stops it, who holds it, what it covers, what helps
    #[command(after_help = WHY_EXAMPLES)]
    Why(verb::why::Args),
    /// One line for each endpoint, and an exit status for scripts
    #[command(after_help = CHECK_EXAMPLES)]
    Check(verb::check::Args),
    /// Every bound socket: what it covers, whom it is exposed to, who holds it
    #[command(after_help = LIST_EXAMPLES)]
    List(verb::list::Args),
    /// The next free port for an address, family and options, printed bare for scripts
    #[command(after_help = FREE_EXAMPLES)]
    Free(verb::free::Args),
    /// The page of a rule, what an address means, or the list of all rules
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(verb::explain::Args),
    /// The changes that would allow it, numbered; with --apply one is made, and checked
    #[cfg(target_os = "linux")]
    #[command(after_help = verb::fix::EXAMPLES)]
    Fix(verb::fix::Args),
    /// What is known about this machine, where it was read, and what could not be
    #[command(after_help = FACTS_EXAMPLES)]
    Facts(verb::facts::Args),
    /// Where packets end: at which socket, at which rule of the firewall, or elsewhere
    #[command(after_help = REACH_EXAMPLES)]
    Reach(verb::reach::Args),
    /// What portwise can see here and what not, and settings that surprise
    #[cfg(target_os = "linux")]
    #[command(after_help = verb::doctor::EXAMPLES)]
    Doctor,
    /// What makes bash, zsh or fish complete the command line
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(verb::completions::Args),
    /// Really bind, listen and connect, in a private copy of the network, beside the prediction
    #[cfg(target_os = "linux")]
    #[command(after_help = TRY_EXAMPLES)]
    Try(verb::r#try::Args),
    /// Start a program, and explain each bind, listen and connect of it that fails
    #[cfg(target_os = "linux")]
    #[command(after_help = verb::trace::EXAMPLES)]
    Trace(verb::trace::Args),
    /// Start a program with just enough right to bind certain addresses and ports
    #[cfg(target_os = "linux")]
    #[command(after_help = verb::run::EXAMPLES)]
    Run(verb::run::Args),
    /// Recorded scenarios replayed on the model or the running kernel, or random ones on both
    #[command(after_help = CONFORM_EXAMPLES)]
    Conform(verb::conform::Args),
}

/// The program that makes the call.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ProgramArg {
    /// Ask for this program, which is looked at and not started
    #[arg(last = true, value_name = "CMD", num_args = 1..)]
    pub command: Vec<OsString>,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Options of every verb.
#[derive(Clone, Debug, Default, clap::Args)]
// Behind those of the verb itself, of which none has so many.
#[command(next_help_heading = "Options of the question", next_display_order = 100)]
pub struct Global {
    /// Only the IPv4 addresses of a name; for a bare port 0.0.0.0
    #[arg(short = '4', long = "ipv4", global = true, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Only the IPv6 addresses of a name; for a bare port ::
    #[arg(short = '6', long = "ipv6", global = true)]
    pub ipv6: bool,
    /// Ask as a login process of this user, without capabilities unless it is root
    #[arg(long = "as", value_name = "USER|UID[:GROUP]", global = true)]
    pub who: Option<String>,
    /// Ask in place of this process: with its credentials, in its network namespace
    #[arg(long, value_name = "PID", global = true, conflicts_with_all = ["who", "on", "facts"])]
    pub pid: Option<u32>,
    /// Ask in this network namespace
    #[arg(long, value_name = "NAME|PATH|PID", global = true, conflicts_with_all = ["on", "facts"])]
    pub netns: Option<String>,
    /// Ask another kernel, such as linux-6.12, macos-15, freebsd-15.0 or windows-11; with why,
    /// all: one line for each kernel
    #[arg(long, value_name = "KERNEL", global = true, conflicts_with = "facts")]
    pub on: Option<String>,
    /// With --on: an address that the host has, such as 192.0.2.10/24 or fe80::1/64%eth0
    #[arg(long, value_name = "ADDR/LEN", global = true, requires = "on")]
    pub has: Vec<String>,
    /// Take the facts from a file that `portwise facts -o FILE` wrote
    #[arg(long, value_name = "FILE", global = true)]
    pub facts: Option<PathBuf>,
    /// The socket has SO_REUSEADDR
    #[arg(long, global = true)]
    pub reuseaddr: bool,
    /// The socket has SO_REUSEPORT
    #[arg(long, global = true)]
    pub reuseport: bool,
    /// The socket has IPV6_V6ONLY
    #[arg(long, global = true)]
    pub v6only: bool,
    /// The socket is bound to this interface (SO_BINDTODEVICE)
    #[arg(long, value_name = "DEV", global = true)]
    pub dev: Option<String>,
    /// The socket has IP_FREEBIND
    #[arg(long, global = true)]
    pub freebind: bool,
    /// Answer in JSON
    #[arg(short, long, global = true, help_heading = "Output")]
    pub json: bool,
    /// Say every rule tried, every fact and every source
    #[arg(short, long, global = true, conflicts_with = "quiet", help_heading = "Output")]
    pub verbose: bool,
    /// Say less: why only its first line, check nothing but the exit status
    #[arg(short, long, global = true, help_heading = "Output")]
    pub quiet: bool,
    /// When to colour: auto (on a terminal, unless NO_COLOR is set), always, never
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        hide_possible_values = true,
        default_value = "auto",
        hide_default_value = true,
        global = true,
        help_heading = "Output"
    )]
    pub color: ColorChoice,
    /// The path by which this program was called, if it was by one.
    #[arg(skip)]
    pub called_by: Option<String>,
}

impl Global {
    /// The machine and the asker of the question.
    pub fn setting(&self) -> Result<Setting, Trouble> {
        self.setting_of(&[])
    }

    /// The machine and the asker of the question, who starts this program to make the call.
    pub fn setting_of(&self, command: &[OsString]) -> Result<Setting, Trouble> {
        if let (Some(name), true) = (command.first(), self.on.is_some() || self.facts.is_some()) {
            let name = name.to_string_lossy();
            return Err(Trouble::new(format!(
                "-- {name}: programs are looked at on this machine only; `portwise facts -o FILE \
                 -- {name}` there records one for --facts"
            )));
        }
        if let Some(kernel) = &self.on {
            return self.setting_on(kernel);
        }
        let (mut setting, who) = match &self.facts {
            Some(file) => {
                let facts = Facts::read(file)?;
                let who = self.named(&|| facts.directory())?;
                let mut setting = facts.setting();
                setting.program = self.called_by.clone().unwrap_or(setting.program);
                (setting, who)
            }
            None => {
                let (pid, netns) = (self.pid, self.netns.clone());
                let asked = live::Asked { pid, netns, command: command.to_vec() };
                let mut setting = live::setting_of(&asked)?;
                setting.program = self.called_by.clone().unwrap_or(setting.program);
                (setting, self.named(&user::here)?)
            }
        };
        if let Some(who) = who {
            setting.ask_as(who);
        }
        Ok(setting)
    }

    /// The machine of `--on`, with this kernel.
    pub(crate) fn setting_on(&self, kernel: &str) -> Result<Setting, Trouble> {
        let kernel =
            assumed::kernel(kernel).map_err(|what| Trouble::new(format!("--on: {what}")))?;
        let has: Result<Vec<Has>, String> = self.has.iter().map(|text| text.parse()).collect();
        let has = has.map_err(|what| Trouble::new(format!("--has: {what}")))?;
        Ok(assumed::setting(kernel, self.named(&Directory::default)?, &has))
    }

    /// Whom `--as` names, among the users of the machine asked about.
    fn named(&self, known: &dyn Fn() -> Directory) -> Result<Option<Named>, Trouble> {
        let named = self.who.as_deref().map(|who| user::named(who, &known()));
        named.transpose().map_err(|what| Trouble::new(format!("--as: {what}")))
    }

    /// Reads endpoints.
    pub fn endpoints(&self, typed: &[String]) -> Result<Vec<Endpoint>, Trouble> {
        typed.iter().map(|text| Ok(text.parse::<Endpoint>()?)).collect()
    }

    /// The family that was asked for.
    pub fn family(&self) -> Option<Family> {
        match (self.ipv4, self.ipv6) {
            (true, _) => Some(Family::Inet),
            (_, true) => Some(Family::Inet6),
            _ => None,
        }
    }

    /// What is set on the asking socket.
    pub fn socket_settings(&self) -> SocketSettings {
        SocketSettings {
            reuseaddr: self.reuseaddr,
            reuseport: self.reuseport,
            v6only: self.v6only,
            freebind: self.freebind,
            device: self.dev.clone(),
        }
    }

    /// How much is to be said.
    pub fn detail(&self) -> Detail {
        match (self.quiet, self.verbose) {
            (true, _) => Detail::Quiet,
            (_, true) => Detail::Verbose,
            _ => Detail::Normal,
        }
    }
}

/// Where answers and notes go. A reader that went away is no error.
pub struct Output<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    color: ColorChoice,
    colors: &'a dyn Fn() -> bool,
    columns: &'a dyn Fn() -> Option<usize>,
    unwritten: Option<io::Error>,
    gone: bool,
}

impl Output<'_> {
    /// Whether answers are coloured.
    pub fn style(&self) -> Style {
        let color = match self.color {
            ColorChoice::Auto => (self.colors)(),
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        Style { color }
    }

    /// How many columns the terminal has that answers go to; none if they go elsewhere.
    pub fn columns(&self) -> Option<usize> {
        (self.columns)()
    }

    /// Whether the reader has gone away, or answers cannot be written any more.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether what is said beside the answer is coloured.
    pub fn error_style(&self) -> Style {
        let wants = self.color == ColorChoice::Auto && io::stderr().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style { color: wants && !no_color || self.color == ColorChoice::Always }
    }

    /// Writes an answer.
    pub fn data(&mut self, text: &str) {
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        self.gone |= written.is_err();
        self.unwritten = written.err().filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
    }

    /// Writes something beside the answer.
    pub fn note(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }
}

/// The command line, for what is generated from it.
pub fn command() -> clap::Command {
    Verb::augment_subcommands(Top::command())
}

/// The command line without its leading endpoints: behind such a list the completion of zsh no
/// longer sees the verb. Endpoints cannot be completed anyway.
pub fn verbs() -> clap::Command {
    let bare = clap::Command::new("portwise").version(env!("CARGO_PKG_VERSION"));
    let bare = Global::augment_args(bare.disable_help_subcommand(true));
    Verb::augment_subcommands(verb::why::GotArg::augment_args(bare))
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(status) = crate::act::trial::init() {
        return status;
    }
    // Standard error is not kept locked: a thread that panics must be able to say so.
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let colors = || {
        let no_color = std::env::var_os("NO_COLOR");
        no_color.is_none_or(|value| value.is_empty()) && io::stdout().is_terminal()
    };
    let columns = || {
        let size =
            io::stdout().is_terminal().then(|| terminal_size::terminal_size_of(io::stdout()));
        size.map(|size| size.map_or(80, |(columns, _)| usize::from(columns.0).max(40)))
    };
    run_on(std::env::args_os(), &mut out, &mut err, &colors, &columns).into()
}

/// Runs a command line. `colors` says whether `out` shows colours by itself. Returns the exit
/// status.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
    colors: &dyn Fn() -> bool,
) -> u8 {
    run_on(args, out, err, colors, &|| None)
}

/// Runs a command line as [`run`] does. `columns` says how wide the terminal is that `out` is, if
/// it is one.
pub fn run_on(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
    colors: &dyn Fn() -> bool,
    columns: &dyn Fn() -> Option<usize>,
) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let called_by = args.first().and_then(|path| path.to_str()).filter(|path| path.contains('/'));
    let called_by = called_by.map(str::to_string);
    let (mut cli, verb) = match Cli::parse(args) {
        Ok(cli) => (cli.top, cli.verb),
        Err(error) => return usage(&error, out, err, colors),
    };
    cli.global.called_by = called_by;
    let mut output =
        Output { out, err, color: cli.global.color, colors, columns, unwritten: None, gone: false };
    let done = match &verb {
        Some(_) if !cli.program.command.is_empty() => {
            Err(Trouble::new("-- CMD stands behind the verb and its endpoints"))
        }
        Some(_) if cli.got.errno.is_some() => {
            Err(Trouble::new("--got stands behind `why`, such as portwise why 80 --got EACCES"))
        }
        Some(Verb::Why(args)) => verb::why::run(args, &cli.global, &mut output),
        Some(Verb::Check(args)) => verb::check::run(args, &cli.global, &mut output),
        Some(Verb::List(args)) => verb::list::run(args, &cli.global, &mut output),
        Some(Verb::Free(args)) => verb::free::run(args, &cli.global, &mut output),
        Some(Verb::Explain(args)) => verb::explain::run(args, &cli.global, &mut output),
        Some(Verb::Facts(args)) => verb::facts::run(args, &cli.global, &mut output),
        Some(Verb::Reach(args)) => verb::reach::run(args, &cli.global, &mut output),
        Some(Verb::Completions(args)) => Ok(verb::completions::run(args, &mut output)),
        #[cfg(target_os = "linux")]
        Some(Verb::Doctor) => verb::doctor::run(&cli.global, &mut output),
        #[cfg(target_os = "linux")]
        Some(Verb::Fix(args)) => verb::fix::run(args, &cli.global, &mut output),
        #[cfg(target_os = "linux")]
        Some(Verb::Try(args)) => verb::r#try::run(args, &cli.global, &mut output),
        #[cfg(target_os = "linux")]
        Some(Verb::Trace(args)) => verb::trace::run(args, &cli.global, &mut output),
        #[cfg(target_os = "linux")]
        Some(Verb::Run(args)) => verb::run::run(args, &cli.global, &mut output),
        Some(Verb::Conform(args)) => verb::conform::run(args, &cli.global, &mut output),
        None if cli.endpoints.is_empty() && !cli.program.command.is_empty() => {
            Err(Trouble::new("which endpoint? such as portwise 127.0.0.1:80 -- CMD"))
        }
        None if cli.endpoints.is_empty() => {
            verb::list::run(&verb::list::Args::default(), &cli.global, &mut output)
        }
        None => {
            let (got, program) = (cli.got, cli.program);
            let args = verb::why::Args { endpoints: cli.endpoints, got, program };
            let done = verb::why::run(&args, &cli.global, &mut output);
            done.map_err(|trouble| no_verb(&args.endpoints).unwrap_or(trouble))
        }
    };
    let done = match output.unwritten.take() {
        Some(error) => Err(Trouble::new(format!("cannot write the answer: {error}"))),
        None => done,
    };
    done.unwrap_or_else(|trouble| {
        output.note(&format!("portwise: {trouble}\n"));
        2
    })
}
