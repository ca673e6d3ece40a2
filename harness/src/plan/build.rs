//! Makes a plan of a scenario: names given, variables resolved, words turned into values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::cost::Cost;
use super::{ChecksPlan, ClientPlan, Delivery, Faults, Group, Level, Minimum, Plan};
use super::{ServerSetup, Threshold, Vars, needs, network, timeline};
use crate::dialect::{Dialect, Heartbeat, Unfilled};
use crate::observe::ClientId;
use crate::plan::Place;
use crate::scenario::lint::CLIENTS_MAX;
use crate::scenario::marked::{At, Tried};
use crate::scenario::model::{self, DeliveryWord, EchoWord, File, OrderWord, StorageWord};
use crate::scenario::problem::{Problem, Problems, nearest};
use crate::scenario::template::{as_text, fill_text, holes};
use crate::scenario::users::{Users, beside};
use crate::scenario::{Scenario, metrics, template};

/// The dialect of a scenario that names none.
const DEFAULT_DIALECT: &str = "native";

/// How deep variables may use each other.
const VARIABLES_DEEP: usize = 16;

/// What the user asked for beside the scenario.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The dialect instead of the scenario's: a name or a path.
    pub dialect: Option<String>,
    /// The seed instead of the scenario's.
    pub seed: Option<u64>,
    /// Sizes of groups: `--clients GROUP=N`.
    pub clients: BTreeMap<String, u32>,
    /// Values of variables and of the dialect's parameters: `--var NAME=VALUE`.
    pub vars: BTreeMap<String, String>,
    /// The users' data instead of the scenario's: `--users FILE`.
    pub users: Option<std::path::PathBuf>,
    /// The target's heartbeat, or the one that the child server shall have.
    pub heartbeat: Option<Heartbeat>,
    /// There is a target: no server of the run's own can be had.
    pub target: bool,
    /// The steps of `refusal` instead of `steps`.
    pub refusal: bool,
    /// Nobody else has ever been at the run's server: it may have the names of another run.
    pub alone: bool,
    /// When the run starts, in microseconds since 1970: what makes it different from the last one.
    pub started_us: u64,
}

impl Options {
    /// No wishes, for a run that starts now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        Self { started_us, ..Self::default() }
    }
}

/// What became of a scenario.
#[derive(Debug)]
pub enum Built {
    /// It can run.
    Ready(Box<Plan>, Cost),
    /// Servers of this kind cannot do what it needs: why.
    Skipped(String),
}

impl Plan {
    /// Makes a plan of a scenario.
    pub fn build(scenario: &Scenario, options: &Options) -> Result<Built, Problems> {
        let wanted = options.dialect.as_deref().or_else(|| scenario.dialect());
        let wanted = wanted.unwrap_or(DEFAULT_DIALECT);
        Self::build_with(scenario, Dialect::load(wanted)?, options)
    }

    /// Makes a plan of a scenario for servers that talk like this.
    pub fn build_with(
        scenario: &Scenario,
        dialect: Dialect,
        options: &Options,
    ) -> Result<Built, Problems> {
        let file = &scenario.file;
        let problems = |list| Problems::new(scenario.source.clone(), list);
        let mistakes = unknown_names(file, &dialect, options);
        if !mistakes.is_empty() {
            return Err(problems(mistakes));
        }
        if file.own_server && options.target {
            let reason = "it needs a server of its own, and there is a target".to_owned();
            return Ok(Built::Skipped(reason));
        }
        let steps = if options.refusal { &file.refusal } else { &file.steps };
        let given = dialect.gives();
        if let Some(name) = scenario.borrowed.iter().find(|name| !given.contains(*name)) {
            let reason = format!("dialect {} gives no value to `${name}`", dialect.name);
            return Ok(Built::Skipped(reason));
        }
        if let Some(reason) = needs::missing(file, steps, &dialect) {
            return Ok(Built::Skipped(reason));
        }
        let given: Vars =
            options.vars.iter().map(|(name, text)| (name.clone(), plain(text))).collect();
        let mut dialect = dialect.with_params(&given);
        dialect.heartbeat = options.heartbeat.or(dialect.heartbeat);
        dialect.heartbeat = dialect.heartbeat.map(|heartbeat| dialect.timers(heartbeat));

        let (seed, identity) = identity(file, options);
        let run = run_word(identity);
        let groups = groups(file, options);
        let users = users(scenario, &groups, &dialect, options).map_err(|it| problems(vec![it]))?;
        let params = &dialect.params;
        let own = Own { file, params, given: &given, run: &run, users: users.as_ref() };
        let clients = clients(&own, &groups).map_err(problems)?;
        network::check(steps, &groups, &clients).map_err(problems)?;
        let below = needs::is_below(steps);
        let classes = timeline::classes(&scenario.source.text, file, steps);
        let mut steps = timeline::steps(&scenario.source.text, file, steps, None);
        needs::leave_out(&mut steps, &dialect);
        let mut plan = Self {
            scenario: file.scenario.value.clone(),
            about: file.about.clone(),
            source: scenario.source.clone(),
            seed,
            run,
            run_number: identity >> 32,
            dialect: Arc::new(dialect),
            clients,
            groups,
            steps,
            classes,
            checks: checks(file),
            thresholds: thresholds(file),
            server: server(file, options),
            ignore: file.ignore.iter().map(|pattern| pattern.value.clone()).collect(),
            traffic: minimum(file),
            patience: None,
        };
        plan.checks.fit(&plan.dialect, file);
        if below {
            plan.checks.leave_to_the_steps(file);
        }
        if let Some(reason) = Cost::against(&plan, file) {
            return Ok(Built::Skipped(reason));
        }
        let cost = Cost::of(&plan);
        Ok(Built::Ready(Box::new(plan), cost))
    }
}

/// Options that name what is not there.
fn unknown_names(file: &File, dialect: &Dialect, options: &Options) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, size) in &options.clients {
        if file.clients.get(name).is_none() {
            let problem =
                Problem::new(format!("--clients {name}={size}: no client is called `{name}`"));
            problems.push(problem.did_you_mean(name, file.clients.keys()));
        } else if *size == 0 || *size > CLIENTS_MAX {
            let message = format!("--clients {name}={size}: between 1 and {CLIENTS_MAX} clients");
            problems.push(Problem::new(message));
        }
    }
    let groups = file.clients.iter().filter_map(|(_, group)| group.0.as_ref());
    let known: Vec<&str> = groups
        .flat_map(|group| group.vars.keys())
        .chain(file.vars.keys())
        .chain(dialect.params.keys().map(String::as_str))
        .collect();
    for name in options.vars.keys().filter(|name| !known.contains(&name.as_str())) {
        let message = format!("--var {name}: neither the scenario nor the dialect has it");
        let problem = Problem::new(message);
        problems.push(match nearest(name, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => problem,
            None => problem.help(format!("there are {}", known.join(", "))),
        });
    }
    problems
}

/// A value from the command line: a number or a truth if it looks like one, else a text.
pub(crate) fn plain(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::from(text),
    }
}

/// SplitMix64's finisher: near numbers become far ones.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The seed of a run, and what tells it from others: the seed, and when it starts, if somebody who has
/// chosen the same may have been at its server before.
fn identity(file: &File, options: &Options) -> (u64, u64) {
    let chosen = options.seed.or(file.seed);
    let seed = chosen.unwrap_or_else(|| mix(options.started_us));
    let apart = chosen.is_some() && !is_alone(file, options);
    (seed, mix(seed ^ if apart { mix(options.started_us) } else { 0 }))
}

/// Whether nobody has ever been where the run goes.
fn is_alone(file: &File, options: &Options) -> bool {
    let args: Vec<&str> = file.server.args.iter().map(|arg| arg.value.as_str()).collect();
    options.alone && !outlives(&args)
}

/// Whether a server with these arguments keeps its data where the server of another run finds them.
pub(crate) fn outlives(args: &[&str]) -> bool {
    let values = args.iter().zip(args.iter().skip(1).chain([&""]));
    let mut places = values.filter_map(|(arg, next)| match *arg {
        "--data" => Some(*next),
        _ => arg.strip_prefix("--data="),
    });
    places.any(|place| !place.contains("$scratch"))
}

/// A word of eight letters and digits, fit for the names of rooms and people.
fn run_word(identity: u64) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letter = |n: u32| LETTERS.get((identity >> (5 * n)) as usize % 32).copied().unwrap_or(b'x');
    (0..8).map(|n| char::from(letter(n))).collect()
}

fn groups(file: &File, options: &Options) -> Vec<Group> {
    let mut first = 0;
    let mut groups = Vec::new();
    for (name, settings) in file.clients.iter() {
        let settings = settings.0.as_ref();
        let size = settings.and_then(|group| group.clients.as_ref()).map_or(1, |size| size.value);
        let size = options.clients.get(name.as_str()).copied().unwrap_or(size);
        let ramp = settings.and_then(|group| group.ramp.as_ref()).map(|ramp| ramp.0);
        groups.push(Group { name: name.value.clone(), first: ClientId(first), size, ramp });
        first += size;
    }
    groups
}

/// The users' data, if there is any: enough for all clients, and all that the dialect asks for.
fn users(
    scenario: &Scenario,
    groups: &[Group],
    dialect: &Dialect,
    options: &Options,
) -> Result<Option<Users>, Problem> {
    let named = scenario.file.users.as_ref();
    let path = match (&options.users, named) {
        (Some(path), _) => Some(path.clone()),
        (None, named) => named.map(|named| beside(&scenario.source.name, named)),
    };
    let at = |problem: Problem| match named.filter(|_| options.users.is_none()) {
        Some(named) => problem.at(named.place),
        None => problem,
    };
    let users = path.map(|path| Users::read(&path)).transpose().map_err(at)?;
    let wanted = dialect.user_columns();
    let Some(users) = users else {
        let Some(column) = wanted.first() else { return Ok(None) };
        let message = format!("dialect {} asks for `$user.{column}` of each client", dialect.name);
        let help = "give the scenario `users: FILE`, or the run `--users FILE`: a CSV file";
        return Err(Problem::new(message).help(help));
    };
    let clients: u64 = groups.iter().map(|group| u64::from(group.size)).sum();
    if (users.len() as u64) < clients {
        let message = format!("{}: {} users for {clients} clients", users.name, users.len());
        return Err(at(Problem::new(message)).help("each client needs a line of its own"));
    }
    if let Some(column) = wanted.iter().find(|column| !users.columns.contains(column)) {
        let message = format!("{}: there is no column `{column}`", users.name);
        let asks = format!("dialect {} asks for it", dialect.name);
        return Err(at(Problem::new(message)).help(asks));
    }
    Ok(Some(users))
}

/// What clients are made of.
#[derive(Clone, Copy)]
struct Own<'a> {
    file: &'a File,
    /// The dialect's parameters.
    params: &'a Vars,
    given: &'a Vars,
    run: &'a str,
    users: Option<&'a Users>,
}

fn clients(own: &Own<'_>, groups: &[Group]) -> Result<Vec<ClientPlan>, Vec<Problem>> {
    let file = own.file;
    let mut clients: Vec<ClientPlan> = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (number, group) in groups.iter().enumerate() {
        let Some((key, Tried(Some(settings)))) = file.clients.0.get(number) else { continue };
        for index in 0..group.size {
            let unresolved = |unfilled: Unfilled| {
                let message = format!("the variables of `{}`: {unfilled}", group.name);
                vec![Problem::new(message).at(key.place)]
            };
            let raw = raw_vars(own, settings, group, index);
            let user = own.users.and_then(|users| users.get(clients.len()));
            let vars = resolve(&raw, user).map_err(unresolved)?;
            let name = vars.get("me").map(as_text).unwrap_or_default();
            if let Some(other) = names.insert(name.clone(), number) {
                let other = groups.get(other).map_or("", |other| &other.name);
                let message =
                    format!("two clients (`{other}`, `{}`) are called `{name}`", group.name);
                let place = settings.name.as_ref().map_or(key.place, |name| name.place);
                let problem = Problem::new(message).at(place);
                return Err(vec![problem.help("use `$index` in the name of a group")]);
            }
            let pongs = settings.pongs.unwrap_or(true);
            clients.push(ClientPlan { group: number, index, name, vars: Arc::new(vars), pongs });
        }
    }
    Ok(clients)
}

/// A client's variables as they are written.
fn raw_vars(own: &Own<'_>, settings: &At<model::Group>, group: &Group, index: u32) -> Vars {
    let Own { file, params, given, run, .. } = own;
    let several = group.size > 1;
    let name = match &settings.name {
        Some(name) => name.value.clone(),
        None if several => format!("{}-$run-$index", group.name),
        None => format!("{}-$run", group.name),
    };
    let mut raw: Vars = (*params).clone();
    for (name, value) in file.vars.iter().chain(settings.vars.iter()) {
        raw.insert(name.value.clone(), value.value.clone());
    }
    for (name, value) in *given {
        if let Some(slot) = raw.get_mut(name) {
            *slot = value.clone();
        }
    }
    raw.insert("me".to_owned(), Value::from(name));
    raw.insert("index".to_owned(), Value::from(index));
    raw.insert("run".to_owned(), Value::from(*run));
    raw
}

/// Fills variables with each other, and with the user's own data.
fn resolve(raw: &Vars, user: Option<Value>) -> Result<Vars, Unfilled> {
    let mut vars: Vars = raw
        .iter()
        .filter(|(_, value)| holes(value).is_empty())
        .map(|(name, value)| Ok((name.clone(), template::fill(value, &Vars::new())?)))
        .collect::<Result<_, Unfilled>>()?;
    vars.extend(user.map(|user| ("user".to_owned(), user)));
    for _ in 0..VARIABLES_DEEP {
        let waiting: Vec<_> = raw.iter().filter(|(name, _)| !vars.contains_key(*name)).collect();
        if waiting.is_empty() {
            break;
        }
        for (name, value) in waiting {
            if let Ok(value) = template::fill(value, &vars) {
                vars.insert(name.clone(), value);
            }
        }
    }
    match raw.iter().find(|(name, _)| !vars.contains_key(*name)) {
        Some((_, value)) => template::fill(value, &vars).map(|_| vars),
        None => Ok(vars),
    }
}

fn checks(file: &File) -> ChecksPlan {
    let checks = &file.checks;
    ChecksPlan {
        delivery: match checks.delivery {
            None | Some(DeliveryWord::ExactlyOnce) => Delivery::ExactlyOnce,
            Some(DeliveryWord::AtLeastOnce) => Delivery::AtLeastOnce,
            Some(DeliveryWord::AtMostOnce) => Delivery::AtMostOnce,
            Some(DeliveryWord::Any) => Delivery::Any,
        },
        order: checks.order.and_then(OrderWord::meaning),
        echo: checks.echo.and_then(EchoWord::meaning),
        membership: checks.membership.map_or(Level::Fail, model::LevelWord::meaning),
        unknown_messages: checks.unknown_messages.map_or(Level::Fail, model::LevelWord::meaning),
        presence: checks.presence.and_then(|presence| presence.on().map(|on| on.within.0)),
        storage: checks.storage == Some(StorageWord::Versions),
        heartbeat: checks.heartbeat.and_then(|beat| beat.on().map(|on| on.slack.0)),
        recovery: checks.recovery.unwrap_or(false),
        slow: checks.slow.and_then(|slow| slow.on().map(|on| on.within.0)),
        messages: true,
        manners: true,
    }
}

fn server(file: &File, options: &Options) -> ServerSetup {
    let written = file.server.heartbeat.as_ref().map(|word| word.0);
    let args = file.server.args.iter().map(|arg| arg.value.clone()).collect();
    ServerSetup { heartbeat: options.heartbeat.or(written), args }
}

fn minimum(file: &File) -> Minimum {
    let of = |minimum: &Option<At<u64>>| minimum.as_ref().map_or(0, |minimum| minimum.value);
    let model::Traffic { deliveries, frames, events, faults } = &file.traffic;
    let faults = faults.as_ref().map(|odds| Faults::of(odds.value.0));
    Minimum { deliveries: of(deliveries), faults, frames: of(frames), events: of(events) }
}

impl ChecksPlan {
    /// Fills in what the scenario leaves to the dialect, and to what it does itself.
    fn fit(&mut self, dialect: &Dialect, file: &File) {
        if file.checks.order.is_none() {
            self.order = dialect.ordering;
        }
        if file.checks.echo.is_none() {
            self.echo = dialect.echo;
        }
        if file.checks.storage.is_none() {
            self.storage = needs::uses(file, "store");
        }
        if file.checks.recovery.is_none() {
            self.recovery = needs::uses(file, "recovery");
        }
        if !dialect.reads() {
            self.unknown_messages = Level::Off;
        }
        // Where nobody is told who comes and goes, there is nothing to judge.
        if !dialect.tells_membership() {
            self.membership = Level::Off;
        }
    }

    /// What a scenario sends below the dialect, the checks know nothing of: they judge only what it
    /// asks for.
    fn leave_to_the_steps(&mut self, file: &File) {
        let asked = &file.checks;
        self.messages = asked.delivery.is_some() || asked.order.is_some() || asked.echo.is_some();
        self.manners = false;
        if asked.membership.is_none() {
            self.membership = Level::Off;
        }
        if asked.unknown_messages.is_none() {
            self.unknown_messages = Level::Off;
        }
        self.storage &= asked.storage.is_some();
        self.recovery &= asked.recovery.is_some();
    }
}

fn thresholds(file: &File) -> Vec<Threshold> {
    let mut thresholds = Vec::new();
    for (name, stats) in file.thresholds.iter() {
        let (Some(metric), Some(stats)) = (metrics::named(name), &stats.0) else { continue };
        for (stat, limit) in stats.iter() {
            let Some(At { value: limit, place }) = &limit.0 else { continue };
            let Ok(number) = metric.limit(stat, limit.quantity) else { continue };
            thresholds.push(Threshold {
                place: *place,
                metric: metric.name.to_owned(),
                stat: stat.value.clone(),
                text: limit.text.clone(),
                op: limit.op,
                limit: number,
            });
        }
    }
    thresholds
}

/// A room's name for one client, as far as it is known before the run.
pub(super) fn room_of(client: &ClientPlan, pattern: &str) -> String {
    fill_text(pattern, &client.vars).unwrap_or_else(|_| format!("{pattern}#{}", client.index))
}

/// The line that a place begins on, from its first word: what a report shows of a step.
pub(super) fn line_of(text: &str, place: Place) -> Place {
    let start = text.get(..place.offset).and_then(|text| text.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(start..).unwrap_or("").split('\n').next().unwrap_or("");
    let indent = line.len() - line.trim_start_matches([' ', '-']).len();
    crate::scenario::tree::at(text, start + indent, line.len())
}
