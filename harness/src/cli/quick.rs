//! `harness quick`: a load and its verdict on any server, with no file at all.
//!
//! It writes the dialect and the scenario that its options amount to, and runs these: what `quick`
//! does, files can do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;

use super::run;
use crate::plan::Source;
use crate::verdict::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server, e.g. ws://127.0.0.1:8080/chat; `$room` and `$index` may stand in the path
    #[arg(long, value_name = "URL", env = "HARNESS_TARGET", value_parser = run::url)]
    target: String,
    /// What a client sends to enter a room, e.g. '{"type":"join","room":"$room"}'; without it a
    /// connection is in its room from the start
    #[arg(long, value_name = "TEMPLATE")]
    join: Option<String>,
    /// What a client sends to say something, e.g. '{"type":"chat","room":"$room","text":"$text"}'
    #[arg(long, value_name = "TEMPLATE")]
    say: String,
    /// How many clients
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    clients: u32,
    /// How many rooms they are spread over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,
    /// How many messages, by all clients together
    #[arg(long, value_name = "RATE", default_value = "50/s")]
    rate: String,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    span: Duration,
    /// How many bytes are said at a time
    #[arg(long, value_name = "SIZE", default_value = "64B")]
    size: String,
    /// Whether a sender must get its own message back; not judged otherwise
    #[arg(long, value_name = "WHEN")]
    expect_echo: Option<Echo>,
    /// The order that the server promises
    #[arg(long, value_name = "ORDER", default_value = "total")]
    order: Order,
    /// Write NAME-dialect.yaml and NAME.yaml, as a start for scenarios of one's own, and do not run
    #[arg(long, value_name = "NAME")]
    new: Option<String>,
    #[command(flatten)]
    common: run::Common,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Echo {
    Once,
    Never,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    /// One order of all messages of a room but one's own, at all receivers
    Total,
    /// Each sender's messages in the order sent
    PerSender,
}

pub(super) fn main(args: &Args) -> Exit {
    if !args.say.contains("$text") {
        super::tell("--say: `$text` must stand where the text goes: its stamp is what is followed");
        return Exit::Usage;
    }
    let (dialect, scenario) = (args.dialect(), args.scenario());
    if let Some(name) = &args.new {
        return write_files(name, &dialect, &scenario);
    }
    let source = |name: &str, text: String| Source { name: name.to_owned(), text: text.into() };
    let given = run::Given {
        target: Some(args.target.clone()),
        scenario: source("quick", scenario),
        dialect: Some(source("quick-dialect", dialect)),
    };
    run::one(&args.common, &given)
}

impl Order {
    /// Its word in dialects and scenarios. Whether a sender hears itself, and on which way, is not
    /// known here, so its own messages have no place in the order.
    fn word(self) -> &'static str {
        match self {
            Self::Total => "total-among-others",
            Self::PerSender => "per-sender",
        }
    }
}

impl Args {
    /// The dialect file that the templates amount to. It describes no events: the stamps in the
    /// texts are found wherever they come back.
    fn dialect(&self) -> String {
        let mut text = String::from(
            "dialect: quick\n\
             about: Made by `harness quick`. Add `receive:` to have more than messages understood.\n\
             connect:\n  path: /\n",
        );
        let templates = [("join", self.join.as_ref()), ("say", Some(&self.say))];
        let given = || templates.iter().filter_map(|(verb, it)| it.map(|it| (verb, it)));
        // A template that is no JSON is sent as it stands.
        let json = |it: &str| serde_json::from_str::<serde_json::Value>(it).is_ok();
        if given().any(|(_, template)| !json(template)) {
            text.push_str("encoding: text\n");
        }
        let echo = match self.expect_echo {
            Some(Echo::Never) => "never",
            Some(Echo::Once) | None => "once",
        };
        let ordering = self.order.word();
        line(&mut text, format_args!("ordering: {ordering}\necho: {echo}\nfence: ping\nsend:"));
        for (verb, template) in given() {
            if json(template) && !text.contains("encoding: text") {
                line(&mut text, format_args!("  {verb}:\n    frame: {template}"));
            } else {
                let quoted = serde_json::Value::String(template.clone());
                line(&mut text, format_args!("  {verb}:\n    frame: {quoted}"));
            }
        }
        text.push_str("receive: []\n");
        text
    }

    /// The scenario: everybody enters, speaks for a while to be sure of being in, and then for the
    /// time that is judged.
    fn scenario(&self) -> String {
        let Self { clients, rooms, rate, size, .. } = self;
        let span = humantime::format_duration(self.span).to_string().replace(' ', "");
        let ramp = (clients / 2).clamp(100, 1000);
        let echo = match self.expect_echo {
            Some(Echo::Once) => "once",
            Some(Echo::Never) => "never",
            None => "any",
        };
        let order = self.order.word();
        let join = match &self.join {
            Some(_) => "  - as: crowd\n    join: $room\n",
            None => "",
        };
        format!(
            "scenario: quick\n\
             about: {clients} clients in {rooms} rooms; everything said must reach everybody else there, once, in order.\n\
             needs: [say]\n\
             vars: {{ rooms: {rooms} }}\n\
             clients:\n  crowd:\n    clients: {clients}\n    ramp: {ramp}/s\n    \
             vars: {{ room: room-$shard(rooms)-$run }}\n\
             steps:\n  - as: crowd\n    open: {{}}\n    within: 10s\n{join}\
             \x20 - phase:\n      name: warm-up\n      for: 2s\n      discard: true\n      run:\n\
             \x20       - as: crowd\n          every: {rate}\n          say: {{ size: {size} }}\n\
             \x20 - phase:\n      name: steady\n      for: {span}\n      run:\n\
             \x20       - as: crowd\n          every: {rate}\n          say: {{ size: {size} }}\n\
             \x20 - settle: 5s\n\
             checks:\n  delivery: exactly-once\n  order: {order}\n  echo: {echo}\n  \
             membership: off\n  unknown_messages: off\n"
        )
    }
}

fn line(text: &mut String, more: std::fmt::Arguments<'_>) {
    writeln!(text, "{more}").expect("writing to a String cannot fail");
}

/// Writes the two files, and never over another.
fn write_files(name: &str, dialect: &str, scenario: &str) -> Exit {
    let dialect_path = PathBuf::from(format!("{name}-dialect.yaml"));
    let scenario_path = PathBuf::from(format!("{name}.yaml"));
    let write = |path: &Path, text: &str| {
        let made = std::fs::File::options().write(true).create_new(true).open(path);
        made.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|error| super::tell(&format!("{}: {error}", path.display())))
    };
    if write(&dialect_path, dialect).and_then(|()| write(&scenario_path, scenario)).is_err() {
        return Exit::Report;
    }
    let (dialect, scenario) = (dialect_path.display(), scenario_path.display());
    super::print(&format!(
        "wrote {dialect} and {scenario}\nrun it: harness run {scenario} --dialect {dialect} --target ws://…\n"
    ));
    Exit::Passed
}
