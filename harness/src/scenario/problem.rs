//! Mistakes in a user's file, shown where they are, with what is wrong and what to do about it.

use std::fmt::Write as _;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};

use crate::plan::{Place, Source};

/// One mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// Where it stands in the file; none when it is the file as a whole.
    pub place: Option<Place>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A mistake of the file as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, help: None }
    }

    /// The same, at a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The same, with a remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, with the nearest of the words that would have been right, if one is near.
    #[must_use]
    pub fn did_you_mean<'a>(
        mut self,
        word: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        if let Some(near) = nearest(word, known) {
            self.help = Some(format!("did you mean `{near}`?"));
        }
        self
    }
}

/// The known word that a misspelt one most likely meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    let lower = word.to_lowercase();
    known
        .into_iter()
        .filter(|known| *known != word)
        .map(|known| (strsim::osa_distance(&lower, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known)
}

/// All mistakes found in one file. Never empty when returned as an error.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// The file.
    pub source: Source,
    /// Its mistakes, in the order of their places.
    pub list: Vec<Problem>,
}

impl Problems {
    /// The mistakes of a file, sorted by place; the same mistake at the same place is told once.
    pub fn new(source: Source, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.place.map(|place| place.offset));
        list.dedup();
        Self { source, list }
    }

    /// One mistake of a file that could not be read.
    pub fn unread(name: &str, problem: Problem) -> Self {
        Self::new(Source { name: name.to_owned(), text: Arc::from("") }, vec![problem])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The mistakes as text with excerpts: in colour and with drawn lines, or plain.
    pub fn render(&self, fancy: bool) -> String {
        let theme = if fancy { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
        let mut text = String::new();
        for problem in &self.list {
            let shown = Shown { problem, file: &self.source };
            if handler.render_report(&mut text, &shown.named()).is_err() {
                // Writing to a string cannot fail; a place outside the text can.
                text.push_str(&self.line(problem));
            }
            text.push('\n');
        }
        text
    }

    /// One line for each mistake: `file:line:column: message (help)`.
    pub fn lines(&self) -> String {
        self.list.iter().map(|problem| self.line(problem) + "\n").collect()
    }

    fn line(&self, problem: &Problem) -> String {
        let mut line = self.source.name.clone();
        if let Some(place) = problem.place {
            let column = column(&self.source.text, place.offset);
            let _never_fails = write!(line, ":{}:{column}", place.line);
        }
        let _never_fails = write!(line, ": {}", problem.message);
        if let Some(help) = &problem.help {
            let _never_fails = write!(line, " ({help})");
        }
        line
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.lines().trim_end())
    }
}

impl std::error::Error for Problems {}

/// The column of a byte in its line, in characters, from 1.
fn column(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.chars().rev().take_while(|c| *c != '\n').count() + 1
}

/// A problem as the library that draws excerpts wants it.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    file: &'a Source,
}

#[derive(Debug)]
struct Named<'a> {
    problem: &'a Problem,
    text: NamedSource<Arc<str>>,
}

impl<'a> Shown<'a> {
    fn named(&self) -> Named<'a> {
        let text = NamedSource::new(&self.file.name, Arc::clone(&self.file.text));
        Named { problem: self.problem, text }
    }
}

impl std::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.problem.place.is_none() {
            write!(f, "{}: ", self.text.name())?;
        }
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Named<'_> {}

impl Diagnostic for Named<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.problem.place.map(|_| &self.text as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.problem.place?;
        let span = (place.offset, place.len);
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(None, span))))
    }
}
