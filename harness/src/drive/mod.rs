//! Carries a plan out against a real server: the only part of the harness with sockets and threads.
//!
//! Three threads share the `stage`: the swarm connects and reads, the load sends on schedule, the
//! director goes through the timeline. A fourth only measures how long this process stood still.

mod channel;
mod child;
mod director;
mod facts;
mod hearing;
mod http;
mod link;
mod load;
mod probe;
mod proxy;
mod scratch;
mod stage;
mod swarm;
mod tls;
mod watch;

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_std::task::block_on;
use futures_lite::future;
use futures_util::future::join_all;
use nix::sys::resource::{UsageWho, getrusage};
use parking_lot::Mutex;

pub use self::child::ChildServer;
use self::director::Director;
use self::facts::Facts;
use self::http::{Pool, Road};
pub use self::proxy::{News, Proxy, Setup, Tell};
use self::scratch::Scratch;
use self::stage::Shared;
use self::swarm::Swarm;
pub use self::tls::{Authority, Tls};
pub use self::watch::{Cut, Interrupt, Live};
use crate::books::Books;
use crate::check::{End, Judge, Profile};
use crate::client::Client;
use crate::dialect::Heartbeat;
use crate::log::{self, Head, Recorder};
use crate::observe::{ClientId, Time};
use crate::plan::{Action, Plan, Step};
use crate::proxy::Story;
use crate::scenario::units::heartbeat_text;
use crate::summary::{NOT_REACHED, StepResult};
use crate::verdict::Verdict;

/// How long what is owed may take at the end of a run.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the last fence may take.
const FENCE: Duration = Duration::from_secs(5);
/// How long clients wait for the answer to their Close frames at the end.
const GOODBYE: Duration = Duration::from_secs(2);
/// How often the metronome strikes.
const BEAT: Duration = Duration::from_millis(5);

/// What to run, and where.
#[expect(missing_debug_implementations, reason = "it holds a function")]
pub struct Job<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The target's URL; none: the reference server is started.
    pub target: Option<&'a str>,
    /// Where the target is, where that is known already: then it is not asked again.
    pub reached: Option<&'a Reached>,
    /// Whom to trust, should the target speak TLS.
    pub tls: &'a Tls,
    /// Retries the first connection for so long.
    pub wait: Duration,
    /// The target's timers, where the user says them.
    pub heartbeat: Option<Heartbeat>,
    /// Where what the clients do and see is logged, and up to how many bytes the whole of it; none:
    /// it is not.
    pub log: Option<(&'a File, u64)>,
    /// The signal that ends the run early.
    pub interrupt: &'a Interrupt,
    /// Told of each stage of the run.
    pub say: &'a (dyn Fn(&str) + Sync),
    /// Told once a second how the run stands.
    pub live: &'a (dyn Fn(&Live) + Sync),
}

/// A target that has taken an upgrade: where it is, and what its greeting says of its timers.
#[derive(Clone, Debug)]
pub struct Reached {
    target: director::Target,
    greeted: Option<Heartbeat>,
}

impl Reached {
    /// The timers that its greeting tells.
    pub fn heartbeat(&self) -> Option<Heartbeat> {
        self.greeted
    }
}

/// Asks the target at a URL for one connection, again and again for as long as the job says, in the
/// name of the plan's first client.
///
/// # Errors
/// It cannot be reached, or refuses the upgrade. In words for the user.
pub fn reach(url: &str, job: &Job<'_>) -> Result<Reached, String> {
    let (target, greeted) = probe::probe(url, job)?;
    Ok(Reached { target, greeted })
}

/// Where a server of our own is, which need not be asked whether it takes connections: how it takes
/// them may be what is judged.
///
/// # Errors
/// The URL is none, or its host is nowhere. In words for the user.
pub fn assume(url: &str, tls: &Tls) -> Result<Reached, String> {
    let (target, _) = probe::locate(url, tls)?;
    Ok(Reached { target, greeted: None })
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The target's URL.
    pub target: String,
    /// The top-level steps.
    pub steps: Vec<StepResult>,
    /// Why it ended before its timeline did.
    pub cut: Option<Cut>,
    /// The books.
    pub books: Books,
    /// How it ended, as the checks must know it.
    pub end: End,
    /// How long it took, and how long of that the end took.
    pub took: (Duration, Duration),
    /// What was wrong with the network because the timeline wanted it.
    pub network: Vec<Story>,
    /// CPU time used, in seconds.
    pub cpu_s: f64,
    /// Memory at its peak, in bytes.
    pub peak_rss_bytes: u64,
}

/// Runs a plan.
///
/// # Errors
/// It could not run: the target cannot be reached, refuses the upgrade, or the server cannot be
/// started. In words for the user.
pub fn run(job: &Job<'_>) -> Result<Outcome, String> {
    let plan = job.plan;
    let mut args = server_args(plan, job.heartbeat);
    // It goes last of all, when the server has gone.
    let _scratch = Scratch::fill(&mut args, &plan.run).map_err(|error| error.to_string())?;
    let child = match job.target {
        Some(_) => None,
        None => Some(ChildServer::start(&args).map_err(|error| error.to_string())?),
    };
    let url = job
        .target
        .map(str::to_owned)
        .or_else(|| child.as_ref().map(|child| child.url().to_owned()));
    let url = url.unwrap_or_default();
    let Reached { target, greeted } = match job.reached {
        Some(reached) => reached.clone(),
        None => reach(&url, job)?,
    };
    let heartbeat = timers(job, greeted, child.is_some());
    let facts = facts::of(plan);
    let shared = Arc::new(stage_of(job, &url, &facts, heartbeat)?);
    let middle =
        plan.network().next().map(|_| Proxy::of_plan(plan, &target, shared.instant_of(Time(0))));
    let middle = middle.transpose()?;
    let register = middle.as_ref().map(Proxy::register);
    let swarm = Swarm::start(Arc::clone(&shared), Arc::clone(&plan.dialect), register);
    let mut swarm = swarm.map_err(|error| format!("cannot wait for sockets: {error}"))?;
    let road = Road::new(&target, job.tls);
    let pool = plan.dialect.has_http().then(|| Pool::start(road.clone(), Arc::clone(&shared)));
    let pool = pool.transpose().map_err(|error| format!("cannot start threads: {error}"))?;
    shared.set_http(pool.as_ref().map(Pool::queue));
    let child = Mutex::new(child);
    let metronome = Metronome::start();
    let director = Director {
        plan,
        shared: &shared,
        swarm: &swarm,
        target: &target,
        heartbeat: heartbeat
            .unwrap_or(Heartbeat { every: Duration::ZERO, timeout: Duration::ZERO }),
        facts,
        say: job.say,
        road,
        child: &child,
        middle: middle.as_ref(),
    };
    let played = block_on(play(&director, &child, job));
    swarm.stop();
    shared.set_http(None);
    pool.into_iter().for_each(Pool::stop);
    shared.lock().hang_up();
    let network = middle.map(Proxy::stop).transpose();
    if let (Some(Cut::Unresponsive(_)), Some(child)) = (&played.cut, child.lock().as_mut()) {
        // It would not hear that it shall end.
        child.kill();
    }
    drop(child);
    let stall = metronome.stop();
    let shared = alone(shared).ok_or("a thread of the run is still alive")?;
    let (cpu_s, peak_rss_bytes) = used()?;
    Ok(Outcome {
        target: url,
        steps: played.steps,
        cut: played.cut,
        books: shared.into_books(),
        end: End { stall, ..played.end },
        took: played.took,
        network: network?.unwrap_or_default(),
        cpu_s,
        peak_rss_bytes,
    })
}

/// What the threads of the run shared, when they have let go of it.
fn alone(shared: Arc<Shared>) -> Option<Shared> {
    // A load that was cut short notices within a nap.
    let patience = Instant::now() + GOODBYE;
    while Arc::strong_count(&shared) > 1 && Instant::now() < patience {
        std::thread::sleep(BEAT);
    }
    Arc::into_inner(shared)
}

/// The processor time that this program has used, in seconds, and its memory at its peak.
fn used() -> Result<(f64, u64), String> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(|error| error.to_string())?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu_s = seconds(usage.user_time()) + seconds(usage.system_time());
    let peak = peak_rss_bytes().unwrap_or_else(|| usage.max_rss().unsigned_abs() * 1024);
    Ok((cpu_s, peak))
}

/// The target's timers: the user's word, else the target's own, else those that our server was given,
/// else the dialect's.
fn timers(job: &Job<'_>, greeted: Option<Heartbeat>, is_ours: bool) -> Option<Heartbeat> {
    let plan = job.plan;
    let started = plan.server.heartbeat.filter(|_| is_ours);
    let heartbeat = job.heartbeat.or(greeted).or(started).or(plan.dialect.heartbeat);
    heartbeat.map(|heartbeat| plan.dialect.timers(heartbeat))
}

/// This program's memory at its peak. What `getrusage` says is also that of the program which became
/// this one: `cargo run` would count.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn server_args(plan: &Plan, heartbeat: Option<Heartbeat>) -> Vec<String> {
    let mut args = Vec::new();
    if let Some(heartbeat) = heartbeat.or(plan.server.heartbeat) {
        args.push("--heartbeat".to_owned());
        args.push(heartbeat_text(heartbeat));
    }
    args.extend(plan.server.args.iter().cloned());
    args
}

fn stage_of(
    job: &Job<'_>,
    url: &str,
    facts: &[Facts],
    heartbeat: Option<Heartbeat>,
) -> Result<Shared, String> {
    let plan = job.plan;
    let names = plan.clients.iter().map(|client| Arc::from(client.name.as_str()));
    let profile = Profile::new(&plan.checks, heartbeat, !plan.dialect.numbering.is_empty());
    let profile = Profile { idle_pings: plan.dialect.idle_pings, ..profile };
    let judge = Judge::new(&plan.checks, profile, plan.clients.len());
    let mut books = Books::new(plan.run_number, judge, names);
    books.keep_secrets(&plan.dialect.params);
    plan.clients.iter().for_each(|client| books.keep_secrets(&client.vars));
    if let Some((file, bytes)) = job.log {
        let head = books.discreet_head(head(plan, profile, url));
        let recorder = file.try_clone().and_then(|file| Recorder::start(file, bytes, &head));
        books.log_with(recorder.map_err(|error| format!("cannot keep a log: {error}"))?);
    }
    let clients = plan.clients.iter().zip(0..).map(|(client, id)| {
        let facts = facts.get(client.group).cloned().unwrap_or_default();
        let name = client.name.as_str().into();
        let dialect = Arc::clone(&plan.dialect);
        let vars = Arc::clone(&client.vars);
        let mut made = Client::new(ClientId(id), name, dialect, vars, facts.wanted);
        made.pongs = client.pongs;
        made.keeps_frames = facts.frames;
        made
    });
    Ok(Shared::new(clients.collect(), books))
}

/// What the log says before the first observation.
fn head(plan: &Plan, profile: Profile, url: &str) -> Head {
    Head {
        schema_version: log::SCHEMA_VERSION,
        harness: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: plan.scenario.clone(),
        file: plan.source.name.clone(),
        dialect: plan.dialect.name.clone(),
        target: url.to_owned(),
        seed: plan.seed,
        run: plan.run.clone(),
        checks: plan.checks.clone(),
        profile,
        clients: plan.clients.iter().map(|client| client.name.clone()).collect(),
    }
}

struct Played {
    steps: Vec<StepResult>,
    cut: Option<Cut>,
    end: End,
    took: (Duration, Duration),
}

/// The timeline, or what ends it; then everything that is still on its way; then goodbye.
async fn play(
    director: &Director<'_>,
    child: &Mutex<Option<ChildServer>>,
    job: &Job<'_>,
) -> Played {
    let (shared, begun) = (director.shared, Instant::now());
    let mut steps = Vec::new();
    let timeline = async {
        director.timeline(&mut steps).await;
        watch::died(shared, director.target, child)
    };
    let watching =
        async { Some(watch::watch(shared, director.target, child, job.interrupt, job.live).await) };
    let mut cut = future::or(timeline, watching).await;
    shared.stop();
    let drain = Instant::now();
    if cut.is_none() {
        let ending = async {
            director.settle(patience(director.plan)).await;
            let silent = last_fence(director).await;
            if silent > 0 {
                (job.say)(&format!("{silent} clients got no answer to their last ping"));
            }
            None
        };
        let watching = async {
            Some(watch::watch(shared, director.target, child, job.interrupt, job.live).await)
        };
        cut = future::or(ending, watching).await;
    }
    let now = shared.now();
    sweep(shared);
    let end = End {
        at: now,
        settled: cut.is_none(),
        interrupted: matches!(cut, Some(Cut::Interrupted(_))),
        died: match &cut {
            Some(Cut::Died(at, _)) => Some(*at),
            _ => None,
        },
        unresponsive: match &cut {
            Some(Cut::Unresponsive(at)) => Some(*at),
            _ => None,
        },
        stall: Duration::ZERO,
    };
    let took = (begun.elapsed(), drain.elapsed());
    skip_rest(&mut steps, &director.plan.steps);
    shared.lock().books.close();
    goodbye(director, cut.as_ref()).await;
    shared.lock().note_unended();
    Played { steps, cut, end, took }
}

/// How long what is owed may still take: a scenario that ends with waiting has said so itself.
fn patience(plan: &Plan) -> Duration {
    match plan.steps.last().map(|step| &step.action) {
        Some(Action::Settle(_)) => Duration::ZERO,
        _ => SETTLE,
    }
}

/// Every living client proves that nothing more was on its way to it. Says how many could not.
async fn last_fence(director: &Director<'_>) -> usize {
    let deadline = Instant::now() + FENCE;
    let clients = (0..director.plan.clients.len()).filter_map(|id| u32::try_from(id).ok());
    let fences = clients.map(|id| director.ping(deadline, ClientId(id)));
    join_all(fences).await.into_iter().filter(|back| !back).count()
}

/// Gives up the requests that were never answered.
fn sweep(shared: &Shared) {
    let now = shared.now();
    let before = Time(now.0.saturating_sub(SETTLE.as_micros() as u64));
    let mut stage = shared.lock();
    let ids = (0..stage.clients.len()).filter_map(|id| u32::try_from(id).ok());
    for id in ids {
        if let Some((client, books)) = stage.client(ClientId(id)) {
            client.overdue(before, now, books);
        }
    }
}

/// Closes every connection as the protocol asks, unless there is nobody to answer.
async fn goodbye(director: &Director<'_>, cut: Option<&Cut>) {
    if matches!(cut, Some(Cut::Died(..) | Cut::Unresponsive(_))) {
        return;
    }
    // RFC 6455, 7.4.1: 1001 is for "an endpoint going away".
    let code = if cut.is_some() { 1001 } else { 1000 };
    let clients = (0..director.plan.clients.len()).filter_map(|id| u32::try_from(id).ok());
    let clients: Vec<ClientId> = clients.map(ClientId).collect();
    for &id in &clients {
        director.begin_close(id, code, "");
    }
    let deadline = Instant::now() + GOODBYE;
    // Who does not read will see no answer.
    let reading: Vec<ClientId> = {
        let stage = director.shared.lock();
        let reads = |id: &ClientId| stage.clients.get(id.0 as usize).is_some_and(|it| it.reads);
        clients.into_iter().filter(reads).collect()
    };
    join_all(reading.into_iter().map(|id| director.ended(deadline, id))).await;
}

/// Names the steps that were not reached.
fn skip_rest(results: &mut Vec<StepResult>, steps: &[Step]) {
    for step in steps.iter().skip(results.len()) {
        results.push(StepResult {
            line: step.place.line,
            label: director::label(step),
            verdict: Verdict::Skipped,
            message: NOT_REACHED.to_owned(),
            seconds: 0.0,
        });
    }
}

/// Measures the longest time for which this process did not run.
struct Metronome {
    thread: std::thread::JoinHandle<Duration>,
    stop: std::sync::mpsc::Sender<()>,
}

impl Metronome {
    fn start() -> Self {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            loop {
                let begun = Instant::now();
                match stopped.recv_timeout(BEAT) {
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                        longest = longest.max(begun.elapsed().saturating_sub(BEAT));
                    }
                    _ => return longest,
                }
            }
        });
        Self { thread, stop }
    }

    fn stop(self) -> Duration {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}
