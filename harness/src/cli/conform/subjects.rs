//! Who is judged: targets, what each of them speaks, and by which profile.

use std::path::Path;
use std::time::Duration;

use super::Args;
use crate::cli::run;
use crate::conform::event;
use crate::conform::profile::Profile;
use crate::conform::suite::Suite;
use crate::dialect::{Dialect, Heartbeat};
use crate::plan::Source;
use crate::scenario::files::{self, Kind};
use crate::scenario::problem::Problem;
use crate::scenario::{Problems, units};

/// The timers of a server that is started to be judged: so short that nobody waits for them long, and
/// so long that a busy machine keeps them.
const SHORT: Heartbeat =
    Heartbeat { every: Duration::from_millis(250), timeout: Duration::from_millis(700) };
/// What a server of our own is called.
const OWN: &str = "reference-server";
/// What a target speaks of which nobody says anything.
const DEFAULT: &str = "native";

/// A server, and how it is found: none if it is started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Server {
    pub(super) url: Option<String>,
}

/// A server in one of its dialects.
#[derive(Debug)]
pub(in crate::cli) struct Subject {
    pub(in crate::cli) entry: event::Subject,
    /// Its place among the servers.
    pub(super) server: usize,
    /// The dialect as this server speaks it.
    pub(in crate::cli) dialect: Dialect,
    /// How a command names it.
    pub(super) dialect_word: String,
    pub(in crate::cli) profile: Profile,
    /// Its timers, where they are known better than from its greeting.
    pub(in crate::cli) heartbeat: Option<Heartbeat>,
}

impl Subject {
    /// One of the dialects of a server of our own, by the profile that goes with it, with short timers.
    pub(in crate::cli) fn own(suite: &Suite, name: &str) -> Result<Self, Problems> {
        let source = suite.dialect(name).cloned().map_or_else(|| files::dialect(name), Ok)?;
        let profile = suite.default_profile(name);
        let dialect = profile.shape(Dialect::parse(&source.name, &source.text)?);
        let entry = event::Subject {
            target: OWN.to_owned(),
            url: String::new(),
            dialect: name.to_owned(),
            profile: profile.name.clone(),
            again: format!("harness conform --dialect {}", run::quoted(name)),
        };
        let heartbeat = Some(short(&dialect));
        let dialect_word = word_for(&source, name);
        Ok(Self { entry, server: 0, dialect, dialect_word, profile, heartbeat })
    }
}

/// A target as the user wrote it: what it speaks or promises, if that is said, and its URL.
#[derive(Clone, Debug)]
pub(super) struct Target {
    word: Option<String>,
    url: String,
}

/// `ws://…`, or `DIALECT=ws://…`, or `PROFILE=ws://…`.
pub(super) fn target(text: &str) -> Result<Target, String> {
    let scheme = text.find("://").unwrap_or(text.len());
    let (word, url) = match text.get(..scheme).and_then(|start| start.rsplit_once('=')) {
        Some((word, _)) => (Some(word.to_owned()), text.get(word.len() + 1..).unwrap_or_default()),
        None => (None, text),
    };
    Ok(Target { word, url: run::url(url)? })
}

/// All servers and subjects, or what is wrong with what the user said of them.
pub(super) fn resolve(suite: &Suite, args: &Args) -> Result<(Vec<Server>, Vec<Subject>), Problems> {
    let finder = Finder { suite, args, given: given_profiles(suite, args)? };
    let mut servers: Vec<Server> = Vec::new();
    let mut subjects: Vec<Subject> = Vec::new();
    let own = Target { word: None, url: String::new() };
    let targets = if args.target.is_empty() { std::slice::from_ref(&own) } else { &args.target };
    for target in targets {
        let server = Server { url: Some(target.url.clone()).filter(|url| !url.is_empty()) };
        let place = servers.iter().position(|known| *known == server).unwrap_or(servers.len());
        if place == servers.len() {
            servers.push(server);
        }
        for word in finder.words(target) {
            let mut subject = finder.subject(target, &word)?;
            subject.server = place;
            let taken = |name: &str| {
                let same = |it: &&Subject| it.entry.dialect == subject.entry.dialect;
                subjects.iter().filter(same).any(|it| it.entry.target == name)
            };
            let name = subject.entry.target.clone();
            let mut names = (2..).map(|n| format!("{name} #{n}"));
            if taken(&name) {
                subject.entry.target = names.find(|name| !taken(name)).unwrap_or(name);
            }
            subjects.push(subject);
        }
    }
    for (word, profile) in args.profile.iter().zip(&finder.given) {
        if !subjects.iter().any(|subject| subject.profile.name == profile.name) {
            let message = format!("no target here speaks `{}`", profile.dialect);
            return Err(Problems::unread(&format!("--profile {word}"), Problem::new(message)));
        }
    }
    Ok((servers, subjects))
}

/// The profiles that the user gave by name or file.
fn given_profiles(suite: &Suite, args: &Args) -> Result<Vec<Profile>, Problems> {
    let read = |word: &String| match suite.profile(word) {
        Some(profile) => Ok(profile.clone()),
        None => profile_file(Path::new(word)).map(|(profile, _)| profile),
    };
    args.profile.iter().map(read).collect()
}

/// A profile, and the directory by which it names its dialect.
fn profile_file(path: &Path) -> Result<(Profile, Source), Problems> {
    let source = files::read(path)?;
    let mut profile = Profile::read(&source)?;
    let is_path = Path::new(&profile.dialect).extension().is_some();
    if let Some(directory) = path.parent().filter(|_| is_path) {
        profile.dialect = directory.join(&profile.dialect).display().to_string();
    }
    Ok((profile, source))
}

struct Finder<'a> {
    suite: &'a Suite,
    args: &'a Args,
    given: Vec<Profile>,
}

impl Finder<'_> {
    /// What a target speaks, in words for [`Finder::subject`].
    fn words(&self, target: &Target) -> Vec<String> {
        if let Some(word) = &target.word {
            return vec![word.clone()];
        }
        if !self.args.dialect.is_empty() {
            return self.args.dialect.clone();
        }
        let given: Vec<String> = self.given.iter().map(|it| it.dialect.clone()).collect();
        match (given.is_empty(), target.url.is_empty()) {
            (false, _) => given,
            (true, false) => vec![DEFAULT.to_owned()],
            (true, true) => self.suite.dialect_names(),
        }
    }

    fn subject(&self, target: &Target, word: &str) -> Result<Subject, Problems> {
        let (profile, source) = self.find(word)?;
        let dialect = Dialect::parse(&source.name, &source.text)?;
        let name = dialect.name.clone();
        let dialect_word = word_for(&source, &name);
        let fits = |it: &&Profile| it.dialect == name || it.dialect == source.name;
        let given = || self.given.iter().find(fits).cloned();
        let default = self.suite.default_profile(&name);
        let mut profile = match profile.or_else(given) {
            Some(own) => own.over(&default),
            None => default,
        };
        profile.dialect.clone_from(&name);
        let dialect = profile.shape(dialect);
        let heartbeat = self.args.common.heartbeat.or_else(|| {
            // A target's own timers are what it greets with, or its profile says.
            target.url.is_empty().then(|| short(&dialect))
        });
        let label = match (&target.word, target.url.as_str()) {
            (_, "") => OWN.to_owned(),
            (Some(_), _) if profile.name != name => profile.name.clone(),
            (_, url) => url.to_owned(),
        };
        let entry = event::Subject {
            target: label,
            url: target.url.clone(),
            dialect: name,
            profile: profile.name.clone(),
            again: self.again(target, word),
        };
        Ok(Subject { entry, server: 0, dialect, dialect_word, profile, heartbeat })
    }

    /// A dialect's file, and the profile if the word means one.
    fn find(&self, word: &str) -> Result<(Option<Profile>, Source), Problems> {
        if let Some(profile) = self.suite.profile(word).filter(|it| it.dialect != word) {
            return Ok((Some(profile.clone()), self.dialect(&profile.dialect)?));
        }
        let path = Path::new(word);
        if path.extension().is_some() && files::kind(&files::read(path)?.text) == Kind::Profile {
            let (profile, _) = profile_file(path)?;
            let dialect = self.dialect(&profile.dialect)?;
            return Ok((Some(profile), dialect));
        }
        Ok((None, self.dialect(word)?))
    }

    fn dialect(&self, word: &str) -> Result<Source, Problems> {
        self.suite.dialect(word).cloned().map_or_else(|| files::dialect(word), Ok)
    }

    /// The command that judges this subject by one case, but for the case and the seed.
    fn again(&self, target: &Target, word: &str) -> String {
        let common = &self.args.common;
        let mut words = vec!["harness conform".to_owned()];
        let mut add = |option: &str, value: &str| {
            words.push(format!("{option} {}", run::quoted(value)));
        };
        if let Some(suite) = &self.args.suite {
            add("--suite", &suite.display().to_string());
        }
        match target.url.as_str() {
            "" => add("--dialect", word),
            url => add("--target", &format!("{word}={url}")),
        }
        self.args.profile.iter().for_each(|profile| add("--profile", profile));
        if let Some(heartbeat) = &common.heartbeat {
            add("--heartbeat", &units::heartbeat_text(*heartbeat));
        }
        if let Some(args) = &common.server_args {
            add("--server-args", args);
        }
        words.extend(common.trust());
        words.join(" ")
    }
}

/// How a command names a dialect: those that come with the program by name, others by their file.
fn word_for(source: &Source, name: &str) -> String {
    let shipped = files::shipped_dialect(name).is_some_and(|shipped| shipped.name == source.name);
    if shipped { name.to_owned() } else { source.name.clone() }
}

/// Short timers for a server of this kind. Where a connection is given up by the tick that finds no
/// sign of life since the one before, its interval is its timeout, and must not be shorter.
fn short(dialect: &Dialect) -> Heartbeat {
    match dialect.timers(SHORT) == SHORT {
        true => SHORT,
        false => Heartbeat { every: SHORT.timeout, timeout: SHORT.timeout },
    }
}

/// The options for the timers of a server that is started: for all its dialects, and for those that
/// need others.
pub(in crate::cli) fn server_timers<'s>(
    flag: Option<Heartbeat>,
    subjects: impl IntoIterator<Item = &'s Subject>,
) -> Vec<String> {
    let mut timers = vec![units::heartbeat_text(flag.unwrap_or(SHORT))];
    let subjects = subjects.into_iter();
    let others = subjects.filter(|subject| flag.is_none() && subject.entry.url.is_empty());
    for Subject { entry, heartbeat, .. } in others {
        if let Some(heartbeat) = heartbeat.filter(|heartbeat| *heartbeat != SHORT) {
            timers.push(format!("{}={}", entry.dialect, units::heartbeat_text(heartbeat)));
        }
    }
    timers.into_iter().flat_map(|timers| ["--heartbeat".to_owned(), timers]).collect()
}
