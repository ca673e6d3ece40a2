//! The command line: options, their environment fallbacks, and exit codes.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    net::TcpListener,
    panic,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, builder::FalseyValueParser};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use tracing::level_filters::LevelFilter;

use crate::{
    CannotOpen, Config, Data, Dialect, Heartbeat, Mount, PusherApp, Shutdown, Tls, Transport,
    config::dialect_named, run::Prepared,
};

/// The options were wrong, or ask for what this system does not allow.
const USAGE: u8 = 2;
/// The options are right, but what they ask for cannot be had now: the address, the data.
const CANNOT_START: u8 = 3;
/// Descriptors besides those of connections: listener, poller, standard streams, spare sockets.
const OTHER_DESCRIPTORS: u64 = 192;
/// How long a server whose parent has gone takes to say goodbye.
const ORPHAN_DRAIN: Duration = Duration::from_millis(200);

/// A WebSocket server that serves the protocols exactly.
#[derive(Debug, Parser)]
#[command(name = "reference-server", version)]
struct Program {
    #[command(flatten)]
    options: Options,
}

/// The options of the server, for any program that starts one.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(
        long,
        value_name = "ADDR:PORT",
        env = "TIDEMARK_LISTEN",
        default_value = "127.0.0.1:9001"
    )]
    listen: String,

    /// When clients are pinged, and after what silence given up, e.g. 200ms/500ms; for one dialect
    /// chat=200ms/500ms; repeatable, the later stands
    #[arg(long, value_name = "[DIALECT=]INTERVAL/TIMEOUT", env = "TIDEMARK_HEARTBEAT",
          value_delimiter = ',', value_parser = parse_heartbeat)]
    heartbeat: Vec<(Option<Dialect>, Heartbeat)>,

    /// Serve a dialect at one more path, e.g. events=/live; repeatable
    #[arg(long, value_name = "DIALECT=PATH", env = "TIDEMARK_MOUNT", value_delimiter = ',',
          value_parser = parse_mount)]
    mount: Vec<Mount>,

    /// Keep the storage of rooms (in `native` and `rooms`) in this directory, through restarts
    #[arg(long, value_name = "DIR", env = "TIDEMARK_DATA")]
    data: Option<PathBuf>,

    /// Publish changes of files below this directory on the channel `files` of `events`
    #[arg(long, value_name = "DIR", env = "TIDEMARK_WATCH")]
    watch: Option<PathBuf>,

    /// Let clients on this machine publish on the channels of `events`: POST /publish/{channel}
    #[arg(long, env = "TIDEMARK_PUBLISH", value_parser = FalseyValueParser::new())]
    publish: bool,

    /// Let clients on this machine see connections and rooms, and evict: /admin/connections,
    /// /admin/rooms
    #[arg(long, env = "TIDEMARK_ADMIN", value_parser = FalseyValueParser::new())]
    admin: bool,

    /// An application of `pusher`, e.g. id=2,key=k2,secret=s2; repeatable, instead of
    /// id=1,key=app-key,secret=app-secret. More words: disabled, max_connections=N,
    /// client_events=off, subscription_count, webhook=http://HOST:PORT/PATH, webhook_delay=3s,
    /// auth_token=T, cache_ttl=30m
    #[arg(long, value_name = "WORD,…", env = "TIDEMARK_PUSHER_APP", value_delimiter = ';')]
    pusher_app: Vec<PusherApp>,

    /// Connections at a time; more are refused with 503 [default: 20000, or what the descriptor
    /// limit allows]
    #[arg(long, value_name = "N", env = "TIDEMARK_MAX_CONNECTIONS")]
    max_connections: Option<usize>,

    /// Rooms at a time
    #[arg(long, value_name = "N", env = "TIDEMARK_MAX_ROOMS", default_value_t = 100_000)]
    max_rooms: usize,

    /// Over how long connections are closed when the server is told to stop
    #[arg(long, value_name = "DURATION", env = "TIDEMARK_DRAIN", default_value = "2s",
          value_parser = humantime::parse_duration)]
    drain: Duration,

    /// An origin that browsers may connect from; repeatable; without it all may
    #[arg(long, value_name = "ORIGIN", env = "TIDEMARK_ALLOW_ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<String>,

    /// Serve wss:// and https:// with this certificate chain (PEM, the server's own first)
    #[arg(long, value_name = "FILE", env = "TIDEMARK_TLS_CERT")]
    tls_cert: Option<PathBuf>,

    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", env = "TIDEMARK_TLS_KEY")]
    tls_key: Option<PathBuf>,

    /// How bytes move: direct; tide-websockets (the crate, with guards around it) and naive (the crate
    /// as its README shows it) are in builds with the feature tide-websockets
    #[arg(long, value_name = "NAME", env = "TIDEMARK_TRANSPORT", default_value = "direct")]
    transport: Transport,

    /// How long a client may take for its handshake
    #[arg(long, value_name = "DURATION", env = "TIDEMARK_HANDSHAKE", default_value = "5s",
          value_parser = humantime::parse_duration)]
    handshake: Duration,

    /// The longest message, in bytes; 0 is no limit, here and below
    #[arg(long, value_name = "BYTES", env = "TIDEMARK_MESSAGE_BYTES", default_value_t = 65_536)]
    message_bytes: usize,

    /// What may wait for a client that does not read, before it is cut with 4008
    #[arg(long, value_name = "BYTES", env = "TIDEMARK_QUEUE_BYTES", default_value_t = 1_048_576)]
    queue_bytes: usize,

    /// Requests of one connection in a second
    #[arg(long, value_name = "N", env = "TIDEMARK_REQUESTS_PER_S", default_value_t = 1000)]
    requests_per_s: u32,

    /// Rooms that one connection may be in
    #[arg(long, value_name = "N", env = "TIDEMARK_ROOMS", default_value_t = 64)]
    rooms: usize,

    /// Events of a room that are kept for clients that come back
    #[arg(long, value_name = "N", env = "TIDEMARK_HISTORY_EVENTS", default_value_t = 256)]
    history_events: usize,

    /// For how long they are kept, and how long an empty room lives on
    #[arg(long, value_name = "DURATION", env = "TIDEMARK_HISTORY_WINDOW", default_value = "2m",
          value_parser = humantime::parse_duration)]
    history_window: Duration,

    /// What to log, on standard error
    #[arg(long, value_name = "LEVEL", env = "TIDEMARK_LOG", default_value = "info",
          value_parser = ["off", "error", "warn", "info", "debug", "trace"])]
    log: String,

    /// End, after a short drain, when standard input does: for a server started by another program
    #[arg(long)]
    until_stdin_closes: bool,

    /// Be wrong on purpose: one of those that `list` lists, and how often
    #[cfg(all(feature = "mutants", debug_assertions))]
    #[arg(long, value_name = "ID[:1/N]", hide = true)]
    mutant: Option<String>,
}

/// Parses a command line, program name first, and serves until told to stop.
///
/// Exit codes: 0 clean stop, 2 usage, 3 cannot start: the address is taken, the data in use or
/// damaged.
pub fn main(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let parsed = Program::command()
        .try_get_matches_from(args)
        .and_then(|matches| Program::from_arg_matches(&matches));
    match parsed {
        Ok(program) => run(program.options),
        Err(error) if error.use_stderr() => fail(USAGE, &one_line(&error.to_string())),
        Err(help) => {
            say(&help.to_string());
            ExitCode::SUCCESS
        }
    }
}

/// Serves with these options until told to stop by a signal (or the end of standard input).
pub fn run(options: Options) -> ExitCode {
    #[cfg(all(feature = "mutants", debug_assertions))]
    if options.mutant.as_deref() == Some("list") {
        say(&crate::mutants::list());
        return ExitCode::SUCCESS;
    }
    start_log(&options.log);
    let until_stdin_closes = options.until_stdin_closes;
    let address = options.listen.clone();
    let config = match options.into_config() {
        Ok(config) => config,
        Err((code, error)) => return fail(code, &error),
    };
    let scheme = if config.tls.is_some() { "wss" } else { "ws" };
    let listener = match listen(&address) {
        Ok(listener) => listener,
        Err((code, error)) => return fail(code, &error),
    };
    let shutdown = Shutdown::new();
    if let Err(error) = watch_signals(shutdown.clone()) {
        return fail(USAGE, &format!("cannot watch for signals: {error}"));
    }
    if until_stdin_closes {
        watch_stdin(shutdown.clone());
    }
    let bound = listener.local_addr();
    let prepared = match Prepared::new(config, listener) {
        Ok(prepared) => prepared,
        Err(error) => return fail(CANNOT_START, &error.to_string()),
    };
    if let Ok(address) = bound {
        say(&format!("listening on {scheme}://{address}\n"));
    }
    // The main thread only waits; spawned tasks run on the executor's own threads.
    let serving = async_std::task::spawn(prepared.serve(shutdown));
    match async_std::task::block_on(serving) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(CANNOT_START, &error.to_string()),
    }
}

impl Options {
    /// What the options come to on this system; may raise the descriptor limit, and opens the data.
    ///
    /// # Errors
    /// An exit code, and one line for the user: what is wrong, and how to put it right.
    pub fn into_config(self) -> Result<Config, (u8, String)> {
        let usage = |error| (USAGE, error);
        let mut config = Config {
            max_connections: affordable_connections(self.max_connections).map_err(usage)?,
            max_rooms: self.max_rooms,
            drain: self.drain,
            allow_origins: self.allow_origin,
            handshake: self.handshake,
            transport: self.transport,
            tls: tls(self.tls_cert.as_deref(), self.tls_key.as_deref()).map_err(usage)?,
            mounts: self.mount,
            publish: self.publish,
            admin: self.admin,
            watch: self.watch,
            ..Config::default()
        };
        if !self.pusher_app.is_empty() {
            config.pusher_apps = self.pusher_app;
        }
        #[cfg(all(feature = "mutants", debug_assertions))]
        if let Some(mutant) = &self.mutant {
            config.mutant = Some(crate::mutants::choose(mutant).map_err(usage)?);
        }
        config.limits.message_bytes = self.message_bytes;
        config.limits.queue_bytes = self.queue_bytes;
        config.limits.requests_per_s = self.requests_per_s;
        config.limits.rooms = self.rooms;
        config.limits.history_events = self.history_events;
        config.limits.history_window = self.history_window;
        for (dialect, heartbeat) in self.heartbeat {
            config.set_heartbeat(dialect, heartbeat);
        }
        config.check().map_err(usage)?;
        if let Some(dir) = config.watch.as_ref().filter(|dir| !dir.is_dir()) {
            return Err(usage(format!("--watch {}: it is not a directory", dir.display())));
        }
        config.check_transport().map_err(usage)?;
        // Last of all: whatever else is wrong, the data is left alone.
        config.data = self.data.as_deref().map(open_data).transpose()?;
        Ok(config)
    }
}

fn tls(cert: Option<&Path>, key: Option<&Path>) -> Result<Option<Tls>, String> {
    match (cert, key) {
        (Some(cert), Some(key)) => Tls::from_files(cert, key).map(Some),
        (None, None) => Ok(None),
        (Some(_), None) => Err("--tls-cert needs --tls-key beside it".to_owned()),
        (None, Some(_)) => Err("--tls-key needs --tls-cert beside it".to_owned()),
    }
}

/// Raises the soft descriptor limit as far as needed; refuses what the hard one does not allow.
fn affordable_connections(asked: Option<usize>) -> Result<usize, String> {
    let wanted = asked.unwrap_or_else(|| Config::default().max_connections);
    let needed = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(OTHER_DESCRIPTORS);
    let limit = rlimit::increase_nofile_limit(needed).unwrap_or(0);
    if limit >= needed {
        return Ok(wanted);
    }
    if asked.is_some() {
        return Err(format!(
            "--max-connections {wanted} needs {needed} file descriptors, the limit is {limit}: \
             run `ulimit -n {needed}` first, or ask for fewer connections"
        ));
    }
    Ok(usize::try_from(limit.saturating_sub(OTHER_DESCRIPTORS)).unwrap_or(wanted).max(1))
}

fn open_data(dir: &Path) -> Result<Data, (u8, String)> {
    // Where the store finds its files so damaged that it panics, the error says it all.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let data = Data::open(dir);
    panic::set_hook(hook);
    data.map_err(|error| {
        let code = if matches!(error, CannotOpen::NotADirectory) { USAGE } else { CANNOT_START };
        (code, format!("--data {}: {error}", dir.display()))
    })
}

fn parse_mount(text: &str) -> Result<Mount, String> {
    let (dialect, path) = text.split_once('=').ok_or("write DIALECT=PATH, e.g. events=/live")?;
    Ok(Mount { dialect: dialect_named(dialect)?, path: path.to_owned() })
}

fn parse_heartbeat(text: &str) -> Result<(Option<Dialect>, Heartbeat), String> {
    let (dialect, times) = match text.split_once('=') {
        Some((dialect, times)) => (Some(dialect_named(dialect)?), times),
        None => (None, text),
    };
    let (interval, timeout) =
        times.split_once('/').ok_or("two durations are needed, e.g. 200ms/500ms")?;
    let parse =
        |text: &str| humantime::parse_duration(text).map_err(|error| format!("`{text}`: {error}"));
    Ok((dialect, Heartbeat { interval: parse(interval)?, timeout: parse(timeout)? }))
}

fn listen(address: &str) -> Result<TcpListener, (u8, String)> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => {
            (USAGE, format!("--listen {address}: {error}; write ADDR:PORT, e.g. 127.0.0.1:9001"))
        }
        io::ErrorKind::AddrInUse => (
            CANNOT_START,
            format!(
                "cannot listen on {address}: the port is in use; --listen takes another, or port 0"
            ),
        ),
        _ => (CANNOT_START, format!("cannot listen on {address}: {error}; --listen takes another")),
    })
}

fn watch_signals(shutdown: Shutdown) -> io::Result<()> {
    // SIGHUP is taken and ignored: a closed terminal does not end a server.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if signal != SIGHUP {
                shutdown.signal();
            }
        }
    })?;
    Ok(())
}

fn watch_stdin(shutdown: Shutdown) {
    let watching = thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut nowhere = [0; 256];
        while io::stdin().read(&mut nowhere).is_ok_and(|read| read > 0) {}
        shutdown.drain_within(ORPHAN_DRAIN);
    });
    // Without the thread the server outlives its parent, as it would without the option.
    if let Err(error) = watching {
        tracing::warn!(%error, "cannot watch standard input");
    }
}

fn start_log(level: &str) {
    let level: LevelFilter = level.parse().unwrap_or(LevelFilter::INFO);
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        // A closed standard error is no reason to panic.
        .log_internal_errors(false)
        .with_target(false);
    // A program that embeds the server may have a log of its own already, which then serves.
    log.try_init().unwrap_or_default();
}

/// The first sentence of what clap says, with its tip: the rest is in `--help`.
fn one_line(error: &str) -> String {
    let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    match lines.find(|line| line.starts_with("tip: ")) {
        Some(tip) => format!("{first} ({}); see --help", tip.trim_start_matches("tip: ")),
        None => format!("{first}; see --help"),
    }
}

fn fail(code: u8, error: &str) -> ExitCode {
    // A closed standard error changes nothing about the exit code.
    writeln!(io::stderr(), "error: {error}").unwrap_or_default();
    ExitCode::from(code)
}

fn say(text: &str) {
    let mut out = io::stdout().lock();
    // A closed standard output is no reason to end.
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}
