//! `harness proxy`: a man in the middle for anybody's server, with the faults that its rules say.

use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::run::{self, Trust};
use crate::dialect::{Dialect, EventKind, Verb};
use crate::drive::{Interrupt, News, Proxy, Setup};
use crate::plan::{Vars, mix};
use crate::proxy::{self, At, Rule, Told};
use crate::scenario::Problems;
use crate::verdict::Exit;

/// How soon a signal is noticed.
const TICK: Duration = Duration::from_millis(50);
/// So many deeds wait to be written. What is more is counted: a log that cannot be written shall not
/// stop what it tells of.
const WAITING_MAX: usize = 1 << 16;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server behind, e.g. ws://127.0.0.1:8080
    #[arg(long, value_name = "URL", env = "HARNESS_TARGET", value_parser = run::url)]
    target: String,
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: String,
    /// What goes wrong, e.g. "drop to=client event=message rate=1/100 after=10 times=1" (docs/PROXY.md);
    /// repeatable
    #[arg(long = "fault", value_name = "RULE")]
    faults: Vec<String>,
    /// How client and server talk, for rules that name events or clients: a name or a dialect file
    #[arg(long, value_name = "NAME|FILE", env = "HARNESS_DIALECT")]
    dialect: Option<String>,
    /// Another value for a parameter of the dialect; repeatable
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = run::pair::<String>, requires = "dialect")]
    vars: Vec<(String, String)>,
    /// The seed of every random choice [default: another one each time]
    #[arg(long, value_name = "N", env = "HARNESS_SEED")]
    seed: Option<u64>,
    /// Write each fault that happened into this file, one line of JSON each
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Ask the server for this host instead of the one that the client names
    #[arg(long, value_name = "HOST[:PORT]")]
    host: Option<String>,
    #[command(flatten)]
    trust: Trust,
    /// Do not print each fault
    #[arg(long, short)]
    quiet: bool,
    /// End when standard input does: for a proxy started by another program
    #[arg(long)]
    until_stdin_closes: bool,
}

/// Why it cannot begin.
enum Failure {
    Wrong(Problems),
    Usage(String),
    CouldNot(String),
    Report(String),
}

pub(super) fn main(args: &Args) -> Exit {
    match serve(args) {
        Ok(()) => Exit::Passed,
        Err(Failure::Wrong(problems)) => run::wrong(&problems),
        Err(Failure::Usage(reason)) => {
            super::tell(&reason);
            Exit::Usage
        }
        Err(Failure::CouldNot(reason)) => run::could_not(&reason),
        Err(Failure::Report(reason)) => {
            super::tell(&reason);
            Exit::Report
        }
    }
}

/// Stands in the middle until a signal comes, or standard input ends.
fn serve(args: &Args) -> Result<(), Failure> {
    let rules = args.faults.iter().map(|fault| proxy::parse(fault)).collect::<Result<Vec<_>, _>>();
    let rules = rules.map_err(Failure::Wrong)?;
    let dialect = dialect(args, &rules)?;
    let record = args.record.as_deref().map(create).transpose()?;
    let listener = TcpListener::bind(&args.listen).map_err(|error| {
        let remedy = "--listen takes another ADDR:PORT, port 0 a free one";
        match error.kind() {
            io::ErrorKind::InvalidInput => {
                Failure::Usage(format!("--listen {}: {error}; write ADDR:PORT", args.listen))
            }
            _ => Failure::CouldNot(format!("cannot listen on {}: {error}; {remedy}", args.listen)),
        }
    })?;
    let told = |error: io::Error| Failure::CouldNot(format!("cannot catch signals: {error}"));
    let interrupt = Interrupt::on_signals().map_err(told)?;
    // As many connections as this system allows.
    run::capacity();
    let (news, inbox) = sync_channel(WAITING_MAX);
    let missed = Arc::new(AtomicU64::new(0));
    let seed = args.seed.unwrap_or_else(|| mix(crate::plan::Options::now().started_us));
    let setup = Setup {
        listener,
        seed,
        vars: dialect.as_ref().map(|dialect| dialect.params.clone()).unwrap_or_default(),
        dialect: dialect.map(Arc::new),
        rules,
        host: args.host.clone(),
        tell: Some(teller(news.clone(), Arc::clone(&missed))),
    };
    let middle = Proxy::start(setup, &args.target, &args.trust.tls()).map_err(Failure::CouldNot)?;
    super::print(&format!("listening on ws://{}\n", middle.address()));
    if !args.quiet {
        super::tell(&format!("  before {}, seed {seed}", args.target));
    }
    if args.until_stdin_closes {
        watch_stdin(news);
    }
    let mut book = Book { quiet: args.quiet, record };
    let mut written = book.write(&inbox, &interrupt, &middle);
    let stories = middle.stop();
    // What happened until the end is told, too.
    written = written.and_then(|()| inbox.try_iter().flatten().try_for_each(|it| book.enter(it)));
    written = written.and_then(|()| book.flush());
    if !args.quiet {
        for story in stories.iter().flatten() {
            super::tell(&format!("  {}: {} times", story.rule, story.times));
        }
    }
    let missed = missed.load(Ordering::Relaxed);
    if missed > 0 {
        super::tell(&format!("{missed} faults are not told of: nobody can write so fast"));
    }
    written.map_err(|error| Failure::Report(format!("--record: {error}")))?;
    stories.map(drop).map_err(Failure::CouldNot)
}

/// The dialect, which rules must have that speak of events or of clients' names.
fn dialect(args: &Args, rules: &[Rule]) -> Result<Option<Dialect>, Failure> {
    if let Some(rule) = rules.iter().find(|rule| rule.when.at.iter().any(is_member)) {
        let why = "only scenarios have groups: name a client, or a connection by its number";
        return Err(Failure::Usage(format!("`{rule}`: {why}")));
    }
    let Some(named) = &args.dialect else {
        return match rules.iter().find_map(|rule| asks_for_a_dialect(rule).map(|why| (rule, why))) {
            None => Ok(None),
            Some((rule, why)) => Err(Failure::Usage(format!("`{rule}`: {why}"))),
        };
    };
    let dialect = Dialect::load(named).map_err(Failure::Wrong)?;
    let vars: Vars =
        args.vars.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
    if let Some(name) = vars.keys().find(|name| !dialect.params.contains_key(*name)) {
        let message = format!("--var {name}: dialect {} has no such parameter", dialect.name);
        return Err(Failure::Usage(message));
    }
    for rule in rules {
        let known = match rule.when.event {
            Some(Told::Event(EventKind::Ping) | Told::Request(Verb::Pong)) | None => true,
            Some(Told::Event(kind)) => dialect.tells(kind) || !dialect.reads(),
            Some(Told::Request(verb)) => dialect.asks(verb),
        };
        if !known {
            let message = format!("`{rule}`: dialect {} has no such event", dialect.name);
            return Err(Failure::Usage(message));
        }
    }
    Ok(Some(dialect.with_params(&vars)))
}

fn is_member(at: &At) -> bool {
    matches!(at, At::Member(..))
}

/// Why a rule asks for a dialect, and what to do.
fn asks_for_a_dialect(rule: &Rule) -> Option<&'static str> {
    let websocket = [Told::Event(EventKind::Ping), Told::Request(Verb::Pong)];
    if rule.when.event.is_some_and(|told| !websocket.contains(&told)) {
        return Some(
            "what an event looks like, a dialect says: add --dialect NAME|FILE, or say which frames \
             with frame=PATTERN",
        );
    }
    rule.when.at.iter().any(|at| !matches!(at, At::Number(_))).then_some(
        "what clients are called, a dialect says: add --dialect NAME|FILE, or name a connection by \
         its number",
    )
}

fn create(path: &Path) -> Result<io::BufWriter<std::fs::File>, Failure> {
    let file = std::fs::File::create(path);
    let file = file.map_err(|error| Failure::Report(format!("{}: {error}", path.display())))?;
    Ok(io::BufWriter::new(file))
}

/// Hands news on without ever waiting.
fn teller(news: SyncSender<Option<News>>, missed: Arc<AtomicU64>) -> crate::drive::Tell {
    Box::new(move |one| {
        if let Err(TrySendError::Full(_)) = news.try_send(Some(one)) {
            missed.fetch_add(1, Ordering::Relaxed);
        }
    })
}

/// Says when standard input ends.
fn watch_stdin(news: SyncSender<Option<News>>) {
    let watching = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut nowhere = [0; 256];
        while io::stdin().read(&mut nowhere).is_ok_and(|read| read > 0) {}
        // Whoever would hear it may have gone.
        drop(news.send(None));
    });
    if let Err(error) = watching {
        tracing::warn!(%error, "cannot watch standard input");
    }
}

/// Where what happens is printed and recorded.
struct Book {
    quiet: bool,
    record: Option<io::BufWriter<std::fs::File>>,
}

impl Book {
    /// Prints and records what happens, until the end is wanted.
    fn write(
        &mut self,
        inbox: &Receiver<Option<News>>,
        interrupt: &Interrupt,
        middle: &Proxy,
    ) -> io::Result<()> {
        while interrupt.signal().is_none() && !middle.has_ended() {
            match inbox.recv_timeout(TICK) {
                Ok(Some(news)) => self.enter(news)?,
                Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
                // What was written is there for whoever looks at the file meanwhile.
                Err(RecvTimeoutError::Timeout) => self.flush()?,
            }
        }
        Ok(())
    }

    fn enter(&mut self, news: News) -> io::Result<()> {
        match news {
            News::Deed(deed) => {
                if let Some(record) = &mut self.record {
                    writeln!(record, "{}", deed.json())?;
                }
                if !self.quiet {
                    super::print(&format!("{}\n", deed.line()));
                }
            }
            News::Trouble(what) => super::tell(&what),
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.record.iter_mut().try_for_each(|record| record.flush())
    }
}
