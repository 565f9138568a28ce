//! `conform`: recorded scenarios replayed on the model or on the running kernel, or random ones on
//! both side by side.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use portwise_model::scenario::{Modelled, Replay, Scenario, StepResult, Tally, host_of};
use serde::Serialize;

use crate::{
    Trouble,
    cli::{Global, Output},
    observe::assumed,
    render::{clean, json},
};

#[cfg(target_os = "linux")]
mod features;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod packets;
#[cfg(target_os = "linux")]
mod random;

/// Arguments of `conform`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Scenario files: one JSON object a line, `.gz` or plain
    #[arg(value_name = "FILE", required_unless_present_any = ["random", "random_rules", "features"])]
    pub files: Vec<PathBuf>,
    /// Play N random scenarios on the model and on the running kernel, in private network
    /// namespaces
    #[arg(long, value_name = "N", conflicts_with = "files")]
    pub random: Option<u64>,
    /// Send packets through N random rulesets of the firewall, in private network namespaces, and
    /// hold against each where `reach` says it ends; as root, with ip, nft and iptables
    #[arg(long, value_name = "N", conflicts_with_all = ["files", "random"])]
    pub random_rules: Option<u64>,
    /// Probe what differs between versions of Linux, in private network namespaces, and hold it
    /// against what the version of the running kernel says
    #[arg(long, conflicts_with_all = ["files", "random", "random_rules"])]
    pub features: bool,
    /// With --random-rules: start no ruleset after so many seconds
    #[arg(long, value_name = "SECONDS", requires = "random_rules")]
    pub within: Option<u64>,
    /// With --random: which scenarios; the same seed gives the same ones everywhere
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// With --random: leave out the first N of them
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip: u64,
    /// With --random or --live: how many threads; one for each processor by default
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// With --random or --random-rules: write every scenario, with what the kernel answered, into
    /// a file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "features"])]
    pub record: Option<PathBuf>,
    /// With --random: where a disagreement is written; by default into the directory for
    /// temporary files
    #[arg(long, value_name = "FILE", requires = "random")]
    pub out: Option<PathBuf>,
    /// Replay the files on the running kernel instead of the model, each scenario in a fresh
    /// network namespace; the shell commands in the files are run
    #[arg(long, requires = "files")]
    pub live: bool,
}

impl Args {
    #[cfg(target_os = "linux")]
    fn jobs(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.unwrap_or_else(processors)
    }
}

/// The counts of a replay: `conform --json` writes them, the last two lines say them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Steps that were compared.
    pub steps: Outcomes,
    /// Scenarios; one that names several kernels counts once, and agrees if it does on all.
    pub scenarios: Outcomes,
    /// Why scenarios could not be compared, and how many.
    pub unsupported: BTreeMap<String, u64>,
    /// Every disagreement in words.
    pub disagreements: Vec<String>,
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// All.
    pub all: u64,
    /// Those where the model, or the running kernel, agrees with the record.
    pub agree: u64,
    /// Those where it does not.
    pub disagree: u64,
    /// Those that could not be compared.
    pub unsupported: u64,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    files: Vec<String>,
    /// The running kernel, if the files were replayed on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<String>,
    #[serde(flatten)]
    counts: &'a Counts,
}

/// Runs the verb and returns its exit status: 1 if anything disagrees, 3 if nothing does but
/// something could not be compared, else 0.
pub fn run(args: &Args, global: &Global, output: &mut Output<'_>) -> Result<u8, Trouble> {
    if let Some(count) = args.random {
        return random(args, count, global, output);
    }
    if let Some(count) = args.random_rules {
        return packets(args, count, global, output);
    }
    if args.features {
        return features(args, global, output);
    }
    let mut counts = Counts::default();
    let kernel = if args.live {
        Some(live(args, global, &mut counts)?)
    } else {
        for file in &args.files {
            each_scenario(file, global.on.as_deref(), &mut counts, |counts, scenario, kernels| {
                counts.add(&scenario, &kernels);
            })?;
        }
        None
    };
    if global.json {
        let files = args.files.iter().map(|f| f.display().to_string()).collect();
        let document = Document { schema: "portwise.conform/1", files, kernel, counts: &counts };
        output.data(&json::write(&document));
    } else {
        output.data(&text(&counts));
    }
    Ok(status(&counts))
}

#[cfg(target_os = "linux")]
use features::run as features;
#[cfg(target_os = "linux")]
use live::run as live;
#[cfg(target_os = "linux")]
use packets::run as packets;
#[cfg(target_os = "linux")]
use random::run as random;

#[cfg(not(target_os = "linux"))]
fn features(_: &Args, _: &Global, _: &mut Output<'_>) -> Result<u8, Trouble> {
    Err(Trouble::new("--features: the running kernel is asked on Linux only"))
}

#[cfg(not(target_os = "linux"))]
fn live(_: &Args, _: &Global, _: &mut Counts) -> Result<String, Trouble> {
    Err(Trouble::new("--live: the running kernel is asked on Linux only"))
}

#[cfg(not(target_os = "linux"))]
fn packets(_: &Args, _: u64, _: &Global, _: &mut Output<'_>) -> Result<u8, Trouble> {
    Err(Trouble::new("--random-rules: the running kernel is asked on Linux only"))
}

#[cfg(not(target_os = "linux"))]
fn random(_: &Args, _: u64, _: &Global, _: &mut Output<'_>) -> Result<u8, Trouble> {
    Err(Trouble::new("--random: the running kernel is asked on Linux only"))
}

fn status(counts: &Counts) -> u8 {
    match counts.scenarios {
        Outcomes { disagree: 1.., .. } => 1,
        Outcomes { unsupported: 1.., .. } => 3,
        _ => 0,
    }
}

/// Gives `play` every scenario of a file with the kernels it names, or of these the one that `on`
/// says; scenarios that cannot be read whole are counted as unsupported.
fn each_scenario(
    file: &Path,
    on: Option<&str>,
    counts: &mut Counts,
    mut play: impl FnMut(&mut Counts, Scenario, Vec<String>),
) -> Result<(), Trouble> {
    let trouble = |what: String| Trouble::new(format!("{}: {what}", file.display()));
    for (number, line) in lines(file)?.enumerate() {
        let line = line.map_err(|e| trouble(format!("cannot be read: {e}")))?;
        if line.trim().is_empty() {
            continue;
        }
        let scenario: Scenario = match serde_json::from_str(&line) {
            Ok(scenario) => scenario,
            // A field nobody knows says something that a replay would pass over.
            Err(e) if e.to_string().starts_with("unknown field") => {
                counts.scenarios.all += 1;
                counts.unsupport(e.to_string().split(',').next().unwrap_or_default());
                continue;
            }
            Err(e) => return Err(trouble(format!("line {} is no scenario: {e}", number + 1))),
        };
        let mut kernels: Vec<String> = scenario.all_kernels().map(str::to_string).collect();
        if let Some(on) = on {
            kernels.retain(|kernel| kernel == on);
            if kernels.is_empty() {
                continue;
            }
        }
        play(counts, scenario, kernels);
    }
    Ok(())
}

type Lines = Box<dyn Iterator<Item = std::io::Result<String>>>;

fn lines(file: &Path) -> Result<Lines, Trouble> {
    let opened = fs::File::open(file);
    let mut opened =
        opened.map_err(|e| Trouble::new(format!("{}: cannot be opened: {e}", file.display())))?;
    let mut start = [0; 2];
    let read = opened.read(&mut start).unwrap_or(0);
    let start = std::io::Cursor::new(start[..read].to_vec());
    let is_gzip = start.get_ref().as_slice() == [0x1f, 0x8b];
    let whole = start.chain(opened);
    Ok(if is_gzip {
        Box::new(BufReader::new(MultiGzDecoder::new(whole)).lines())
    } else {
        Box::new(BufReader::new(whole).lines())
    })
}

impl Counts {
    /// Replays a scenario on the model of each of `kernels`.
    fn add(&mut self, scenario: &Scenario, kernels: &[String]) {
        let mut results = Vec::new();
        for name in kernels {
            results.push(on_model(scenario, name).and_then(|tally| {
                self.tally(&tally, &format!("{} on {name}", scenario.id), "the model")
            }));
        }
        self.scenario(results);
    }

    /// Counts a scenario by how it went on each kernel: whether every step agreed, or why that is
    /// not known.
    fn scenario(&mut self, results: Vec<Result<bool, String>>) {
        self.scenarios.all += 1;
        let (mut disagrees, mut unsupported) = (false, None);
        if results.is_empty() {
            unsupported = Some("it names no kernel".to_string());
        }
        for result in results {
            match result {
                Ok(agrees) => disagrees |= !agrees,
                Err(why) => unsupported = unsupported.or(Some(why)),
            }
        }
        match (disagrees, unsupported) {
            (true, _) => self.scenarios.disagree += 1,
            (false, Some(why)) => self.unsupport(&why),
            (false, None) => self.scenarios.agree += 1,
        }
    }

    fn unsupport(&mut self, why: &str) {
        self.scenarios.unsupported += 1;
        *self.unsupported.entry(why.to_string()).or_default() += 1;
    }

    /// Counts the steps of a scenario; says whether every step agrees, or why that is not known.
    fn tally(&mut self, tally: &Tally, title: &str, answerer: &str) -> Result<bool, String> {
        let (mut agrees, mut unsupported) = (true, None);
        for (at, result) in &tally.steps {
            match result {
                StepResult::Agree => self.steps.agree += 1,
                StepResult::Disagree { op, expected, answered } => {
                    self.steps.disagree += 1;
                    agrees = false;
                    self.disagreements.push(format!(
                        "{title}, step {at} ({op}): recorded {expected}, {answerer} says \
                         {answered}"
                    ));
                }
                StepResult::Undetermined(which) => {
                    unsupported.get_or_insert(format!("undetermined: {which}"));
                }
                StepResult::Unsupported(why) => {
                    unsupported.get_or_insert(why.clone());
                }
            }
        }
        self.steps.all = self.steps.agree + self.steps.disagree;
        unsupported.filter(|_| agrees).map_or(Ok(agrees), Err)
    }
}

/// Replays a scenario on the model of one kernel.
fn on_model(scenario: &Scenario, name: &str) -> Result<Tally, String> {
    let kernel = assumed::kernel(name).map_err(|_| format!("kernel {name}"))?;
    let (host, world) = host_of(kernel, &scenario.setup).map_err(|why| why.0)?;
    Ok(Replay::new(&mut Modelled::new(host, world)).run(scenario))
}

/// What stands before the two closing lines, and those.
fn text(counts: &Counts) -> String {
    let mut text = String::new();
    if !counts.unsupported.is_empty() {
        let _ = writeln!(text, "not compared, and why:");
        for (why, n) in &counts.unsupported {
            let _ = writeln!(text, "{n:8}  {}", clean(why));
        }
    }
    for line in &counts.disagreements {
        let _ = writeln!(text, "disagree: {}", clean(line));
    }
    text + &closing(&counts.steps, &counts.scenarios)
}

/// The two closing lines, plain integers for scripts.
fn closing(steps: &Outcomes, scenarios: &Outcomes) -> String {
    format!(
        "steps: {} checked, {} agree, {} disagree\n\
         conform: {} scenarios, {} agree, {} disagree, {} unsupported\n",
        steps.all,
        steps.agree,
        steps.disagree,
        scenarios.all,
        scenarios.agree,
        scenarios.disagree,
        scenarios.unsupported
    )
}
