//! `harness run`: from scenario files to verdicts and reports.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::shrink::{Failed, Shrinking};
use super::{progress, summarize};
use crate::books::Secrets;
use crate::dialect::{Dialect, Heartbeat};
use crate::drive::{self, Authority, Interrupt, Job, Tls};
use crate::log;
use crate::plan::{Built, Capacity, Options, Plan, Source, outlives};
use crate::report::{self, write::Place};
use crate::scenario::units::heartbeat_text;
use crate::scenario::{Problems, Scenario, units};
use crate::shrink::{Baked, Way};
use crate::summary::Summary;
use crate::verdict::Exit;

/// Memory that is left to the rest of the machine, as a share of what is free.
const MEMORY_SHARE: f64 = 0.8;
/// Up to this size the log of a run is kept whole.
const LOG_BYTES: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenario files, or names of those that come with the program
    #[arg(required = true, value_name = "FILE|NAME")]
    scenarios: Vec<String>,
    /// The server to test, e.g. ws://127.0.0.1:8080; without it the reference server is started
    #[arg(long, value_name = "URL", env = "HARNESS_TARGET", value_parser = url)]
    target: Option<String>,
    /// How the target talks: a name or a dialect file [default: the scenario's, or native]
    #[arg(long, value_name = "NAME|FILE", env = "HARNESS_DIALECT")]
    dialect: Option<String>,
    /// Another size for a group, e.g. crowd=500; repeatable
    #[arg(long, value_name = "GROUP=N", value_parser = pair::<u32>)]
    clients: Vec<(String, u32)>,
    /// Another value for a variable or a parameter of the dialect; repeatable
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair::<String>)]
    vars: Vec<(String, String)>,
    /// A CSV file with a line of data for each client, instead of the scenario's
    #[arg(long, value_name = "FILE", env = "HARNESS_USERS")]
    users: Option<PathBuf>,
    #[command(flatten)]
    shrinking: Shrinking,
    #[command(flatten)]
    common: Common,
}

/// What every kind of run can be told.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Common {
    /// Write the report into this directory [default: reports/<scenario>-<UTC time>]
    #[arg(long, value_name = "DIR", env = "HARNESS_REPORT")]
    pub(super) report: Option<PathBuf>,
    /// The seed of every random choice [default: the scenario's]
    #[arg(long, value_name = "N", env = "HARNESS_SEED")]
    pub(super) seed: Option<u64>,
    /// The target's timers, e.g. 200ms/500ms; those of the started server, without a target
    #[arg(long, value_name = "INTERVAL/TIMEOUT", value_parser = heartbeat)]
    pub(super) heartbeat: Option<Heartbeat>,
    /// Try to reach the target for this long
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(super) wait: Duration,
    /// More options for the started server, e.g. "--queue-bytes 65536"
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    pub(super) server_args: Option<String>,
    #[command(flatten)]
    pub(super) trust: Trust,
    /// Keep the log of what clients did and saw whole up to this size, then only around findings; 0
    /// for none [default: 64MiB; for each case of a suite that fails 4MiB]
    #[arg(long, value_name = "SIZE", value_parser = log_size)]
    pub(super) log_bytes: Option<u64>,
    /// Only results, no progress
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// Whom to trust when a target speaks TLS.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Trust {
    /// Trust these certificate authorities (PEM) too, not only the system's, when the target is
    /// wss://; repeatable
    #[arg(long, value_name = "FILE", value_parser = authority)]
    ca: Vec<Authority>,
    /// Do not check the target's certificate
    #[arg(long)]
    insecure: bool,
}

/// What is left of a scenario that failed, in its report.
const SHRUNK: &str = "shrunk.yaml";

/// A scenario to run, and where.
pub(super) struct Given {
    pub(super) target: Option<String>,
    pub(super) scenario: Source,
    /// The dialect's file; none: by name, as the options say.
    pub(super) dialect: Option<Source>,
}

pub(super) fn main(args: &Args) -> Exit {
    let mut sources = Vec::new();
    for name in &args.scenarios {
        match crate::scenario::files::scenario(name) {
            Ok(source) => sources.push(source),
            Err(problems) => return wrong(&problems),
        }
    }
    let several = sources.len() > 1;
    let interrupt = match Interrupt::on_signals() {
        Ok(interrupt) => interrupt,
        Err(error) => return could_not(&format!("cannot catch signals: {error}")),
    };
    let tls = args.common.tls();
    let mut worst: Option<Exit> = None;
    for source in sources {
        let mut common = args.common.clone();
        if several {
            let stem = Path::new(&source.name).file_stem().map(PathBuf::from).unwrap_or_default();
            common.report = common.report.map(|dir| dir.join(stem));
        }
        let given = Given { target: args.target.clone(), scenario: source, dialect: None };
        let runner = Runner { common: &common, args: Some(args), interrupt: &interrupt, tls: &tls };
        let exit = runner.run(&given);
        worst = graver(worst, exit);
        if interrupt.signal().is_some() {
            break;
        }
    }
    // Nothing but skipped scenarios has shown nothing.
    worst.unwrap_or(Exit::Inconclusive)
}

/// Runs one scenario that does not come from the command line.
pub(super) fn one(common: &Common, given: &Given) -> Exit {
    match Interrupt::on_signals() {
        Ok(interrupt) => {
            let tls = common.tls();
            let runner = Runner { common, args: None, interrupt: &interrupt, tls: &tls };
            runner.run(given).unwrap_or(Exit::Inconclusive)
        }
        Err(error) => could_not(&format!("cannot catch signals: {error}")),
    }
}

struct Runner<'a> {
    common: &'a Common,
    args: Option<&'a Args>,
    interrupt: &'a Interrupt,
    tls: &'a Tls,
}

impl Common {
    /// Whom to trust.
    pub(super) fn tls(&self) -> Tls {
        self.trust.tls()
    }

    /// The same, in words of a command that repeats the run.
    pub(super) fn trust(&self) -> impl Iterator<Item = String> + '_ {
        self.trust.words()
    }
}

impl Trust {
    /// Whom to trust. Whoever trusts anybody is told so.
    pub(super) fn tls(&self) -> Tls {
        if self.insecure {
            super::tell("--insecure: a target's certificate is not checked");
        }
        Tls::new(&self.ca, self.insecure)
    }

    /// The same, in words of a command that repeats the run.
    fn words(&self) -> impl Iterator<Item = String> + '_ {
        let authorities =
            self.ca.iter().map(|ca| format!("--ca {}", quoted(&ca.path.display().to_string())));
        authorities.chain(self.insecure.then(|| "--insecure".to_owned()))
    }
}

impl Runner<'_> {
    /// Runs a scenario; none when it was skipped.
    fn run(&self, given: &Given) -> Option<Exit> {
        let mut plan = match self.plan(given) {
            Ok(Built::Ready(plan, cost)) => {
                if let Some(refusal) = cost.refusal(&plan.groups, &capacity()) {
                    return Some(could_not(&format!("{}: {refusal}", plan.scenario)));
                }
                plan
            }
            Ok(Built::Skipped(reason)) => {
                super::print(&format!(
                    "  {}: skipped: {reason}\nverdict: skipped  findings: 0  report: -\n",
                    given.scenario.name
                ));
                return None;
            }
            Err(problems) => return Some(wrong(&problems)),
        };
        if let Some(more) = &self.common.server_args {
            plan.server.args.extend(more.split_whitespace().map(str::to_owned));
        }
        let started = Timestamp::now();
        let name = format!("{}-{}", plan.scenario, started.strftime("%Y%m%dT%H%M%S.%3fZ"));
        let base = Path::new(".");
        let place = match Place::prepare(self.common.report.as_deref(), base, &name) {
            Ok(place) => place,
            Err(error) => {
                super::tell(&error.to_string());
                return Some(Exit::Report);
            }
        };
        let log_bytes = self.common.log_bytes.unwrap_or(LOG_BYTES);
        let log = match (log_bytes > 0).then(|| place.begin(log::FILE)).transpose() {
            Ok(log) => log,
            Err(error) => {
                super::tell(&error.to_string());
                return Some(Exit::Report);
            }
        };
        let say = |text: &str| {
            if !self.common.quiet {
                progress::clear(false);
                super::tell(&format!("  {text}"));
            }
        };
        say(&format!("{}: {} clients, seed {}", plan.scenario, plan.clients.len(), plan.seed));
        let job = Job {
            plan: &plan,
            target: given.target.as_deref(),
            reached: None,
            tls: self.tls,
            wait: self.common.wait,
            heartbeat: self.common.heartbeat,
            log: log.as_ref().map(|file| (file, log_bytes)),
            interrupt: self.interrupt,
            say: &say,
            live: &|live| progress::show(self.common.quiet, live),
        };
        let ran = drive::run(&job);
        progress::clear(self.common.quiet);
        let again = self.again(&plan);
        let mut summary = match ran {
            Ok(outcome) => summarize::outcome(&plan, started, outcome, again),
            Err(reason) => {
                could_not(&format!("{}: {reason}", plan.scenario));
                let target = given.target.clone().unwrap_or_default();
                summarize::failure(&plan, started, target, reason, again)
            }
        };
        summary.interrupted = self.interrupt.signal().map(stopped_by);
        Some(self.report(&mut summary, &place, given))
    }

    fn plan(&self, given: &Given) -> Result<Built, Problems> {
        let mut options = Options::now();
        options.seed = self.common.seed;
        options.heartbeat = self.common.heartbeat;
        options.target = given.target.is_some();
        let server_args = self.common.server_args.as_deref().unwrap_or_default();
        let server_args: Vec<&str> = server_args.split_whitespace().collect();
        options.alone = given.target.is_none() && !outlives(&server_args);
        if let Some(args) = self.args {
            options.dialect.clone_from(&args.dialect);
            options.users.clone_from(&args.users);
            options.clients = args.clients.iter().cloned().collect();
            options.vars = args.vars.iter().cloned().collect();
        }
        let given_dialect = match (&given.dialect, &options.dialect) {
            (Some(source), _) => Some(Dialect::parse(&source.name, &source.text)?),
            (None, Some(named)) => Some(Dialect::load(named)?),
            (None, None) => None,
        };
        let names = given_dialect.as_ref().map(Dialect::gives).unwrap_or_default();
        let scenario = Scenario::parse_with(given.scenario.clone(), &names)?;
        match given_dialect {
            Some(dialect) => Plan::build_with(&scenario, dialect, &options),
            None => Plan::build(&scenario, &options),
        }
    }

    fn report(&self, summary: &mut Summary, place: &Place, given: &Given) -> Exit {
        let written = place.write_with_log(summary);
        let shown = place.directory().display().to_string();
        super::print(&report::text::render(summary));
        if written.is_ok() && summary.exit() == Exit::Failed {
            self.shrink(summary, place, given);
        }
        let shown = if written.is_ok() { shown.as_str() } else { "-" };
        super::print(&format!("{}\n", report::text::last_line(summary, shown)));
        match written {
            Ok(()) => summary.exit(),
            Err(error) => {
                super::tell(&error.to_string());
                Exit::Report
            }
        }
    }

    /// Makes what failed smaller, where the user wants that.
    fn shrink(&self, summary: &Summary, place: &Place, given: &Given) {
        let Some(args) = self.args.filter(|args| args.shrinking.shrink) else { return };
        let baked = Baked {
            clients: args.clients.iter().cloned().collect(),
            vars: args.vars.iter().cloned().collect(),
            ..Baked::default()
        };
        let server_args = self.common.server_args.iter().flat_map(|it| it.split_whitespace());
        let failed = Failed {
            scenario: given.scenario.clone(),
            baked,
            seed: summary.seed,
            dialect: args.dialect.clone(),
            users: args.users.clone(),
            target: given.target.clone(),
            heartbeat: self.common.heartbeat,
            server_args: server_args.map(str::to_owned).collect(),
            tls: self.tls,
            trust: self.common.trust().collect(),
            interrupt: self.interrupt,
            quiet: self.common.quiet,
        };
        let way = Way::of(summary, &given.scenario.text);
        let told = failed.shrink(way, args.shrinking.shrink_time, (place, SHRUNK));
        super::print(&told);
    }

    /// The command that repeats this run.
    fn again(&self, plan: &Plan) -> String {
        let Some(args) = self.args else { return this_command(plan.seed) };
        let mut words = vec!["harness run".to_owned(), quoted(&plan.source.name)];
        let mut add = |option: &str, value: &str| words.push(format!("{option} {}", quoted(value)));
        add("--seed", &plan.seed.to_string());
        args.dialect.iter().for_each(|dialect| add("--dialect", dialect));
        args.users.iter().for_each(|users| add("--users", &users.display().to_string()));
        args.target.iter().for_each(|target| add("--target", target));
        self.common.heartbeat.iter().for_each(|it| add("--heartbeat", &heartbeat_text(*it)));
        self.common.server_args.iter().for_each(|args| add("--server-args", args));
        args.clients.iter().for_each(|(group, n)| add("--clients", &format!("{group}={n}")));
        args.vars.iter().for_each(|(name, value)| add("--var", &format!("{name}={value}")));
        words.extend(self.common.trust());
        let mut secrets = Secrets::default();
        args.vars.iter().for_each(|(name, value)| secrets.learn_one(name, &value.as_str().into()));
        secrets.concealed(&words.join(" ")).into_owned()
    }
}

/// What this machine can carry. The soft limit of descriptors is raised to the hard one first.
pub(super) fn capacity() -> Capacity {
    let raised = rlimit::increase_nofile_limit(u64::MAX);
    let descriptors =
        raised.or_else(|_| rlimit::getrlimit(rlimit::Resource::NOFILE).map(|it| it.0));
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let ports = range.and_then(|text| {
        let mut ends = text.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
        Some(ends.next_back()?.saturating_sub(ends.next()?))
    });
    let free = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Capacity {
        descriptors: descriptors.unwrap_or(u64::MAX),
        ports: ports.unwrap_or(u64::MAX),
        memory_bytes: free.map_or(u64::MAX, |kib| (kib as f64 * 1024.0 * MEMORY_SHARE) as u64),
    }
}

/// Of several runs the gravest exit counts; a skipped run does not.
pub(super) fn graver(worst: Option<Exit>, exit: Option<Exit>) -> Option<Exit> {
    let weight = |exit: &Exit| match exit {
        Exit::Passed => 0,
        Exit::Inconclusive => 1,
        Exit::Failed => 2,
        Exit::Report => 3,
        Exit::CouldNotRun => 4,
        Exit::Usage => 5,
        Exit::Interrupted | Exit::Terminated => 6,
    };
    worst.into_iter().chain(exit).max_by_key(weight)
}

/// The command line of this process, as a shell takes it, with the seed that was drawn.
fn this_command(seed: u64) -> String {
    let words: Vec<String> = std::env::args().skip(1).map(|word| quoted(&word)).collect();
    let seeded = words.iter().any(|word| word == "--seed" || word.starts_with("--seed="));
    let seed = if seeded { String::new() } else { format!(" --seed {seed}") };
    format!("harness {}{seed}", words.join(" "))
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

pub(super) fn stopped_by(signal: i32) -> Exit {
    if signal == signal_hook::consts::SIGTERM { Exit::Terminated } else { Exit::Interrupted }
}

pub(super) fn wrong(problems: &Problems) -> Exit {
    super::tell(&problems.render(std::io::IsTerminal::is_terminal(&std::io::stderr())));
    Exit::Usage
}

pub(super) fn could_not(reason: &str) -> Exit {
    super::tell(&format!("could not run: {reason}"));
    Exit::CouldNotRun
}

fn heartbeat(text: &str) -> Result<Heartbeat, String> {
    units::heartbeat(text).map_err(|error| error.to_string())
}

fn log_size(text: &str) -> Result<u64, String> {
    units::file_size(text).map_err(|error| error.to_string())
}

/// A target. Whether it can be reached is seen later; what kind of URL it is can be known now.
pub(super) fn url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "ws" | "wss" => Ok(text.to_owned()),
        other => Err(format!("a target begins with ws:// or wss://, not with {other}://")),
    }
}

fn authority(path: &str) -> Result<Authority, String> {
    Authority::from_file(Path::new(path))
}

/// `NAME=VALUE`.
pub(super) fn pair<T: std::str::FromStr>(text: &str) -> Result<(String, T), String> {
    let parsed = text
        .split_once('=')
        .and_then(|(name, value)| value.parse().ok().map(|value| (name.to_owned(), value)));
    parsed.ok_or_else(|| format!("`{text}` should look like NAME=VALUE"))
}
