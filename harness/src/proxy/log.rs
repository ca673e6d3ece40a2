//! Keeps what rules did, without secrets.

use serde_json::Value;

use super::cutter::Frame;
use super::deed::{Deed, Story};
use super::rule::{Rule, Way};
use super::who::ConnId;
use crate::books::Secrets;
use crate::craft;
use crate::dialect::Dialect;
use crate::heard;
use crate::observe::Time;

/// So many rules are told of; of a scenario that goes on changing them, the rest is not.
const STORIES_MAX: usize = 1000;

#[derive(Debug)]
pub(super) struct Log {
    pub(super) stories: Vec<Story>,
    /// Each single deed is kept.
    pub(super) keeps: bool,
    deeds: Vec<Deed>,
    secrets: Secrets,
}

impl Log {
    pub(super) fn new(dialect: Option<&Dialect>) -> Self {
        let mut secrets = Secrets::default();
        dialect.into_iter().for_each(|dialect| secrets.learn(&dialect.params));
        Self { stories: Vec::new(), keeps: false, deeds: Vec::new(), secrets }
    }

    /// A rule is in force from now on; says which story is its own.
    pub(super) fn begin(&mut self, now: Time, rule: &Rule) -> usize {
        if self.stories.len() < STORIES_MAX {
            let rule = rule.to_string();
            self.stories.push(Story { rule, from: now, until: None, times: 0 });
            return self.stories.len() - 1;
        }
        usize::MAX
    }

    /// No rule is in force any more.
    pub(super) fn end_all(&mut self, now: Time) {
        for story in &mut self.stories {
            story.until.get_or_insert(now);
        }
    }

    pub(super) fn did(
        &mut self,
        story: usize,
        at: Time,
        (conn, client): (ConnId, Option<String>),
        rule: &Rule,
        frame: Option<(Way, &Frame)>,
        note: Option<String>,
    ) {
        if let Some(story) = self.stories.get_mut(story) {
            story.times += 1;
        }
        if !self.keeps {
            return;
        }
        let deed = Deed {
            at,
            fault: rule.fault.word(),
            rule: rule.to_string(),
            conn,
            client,
            way: frame.map(|(way, _)| way),
            opcode: frame.map(|(_, frame)| frame.opcode),
            frame: frame.map(|(_, frame)| self.shown(frame)),
            note,
        };
        self.deeds.push(deed);
    }

    pub(super) fn take(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds)
    }

    /// A frame's content, without what has the name of a secret in it.
    fn shown(&mut self, frame: &Frame) -> String {
        let Some(text) = frame.text() else { return craft::shown(&frame.payload) };
        if let Ok(value) = serde_json::from_str(text) {
            self.learn(&value);
        }
        heard::shown(&self.secrets.concealed(text).into()).to_string()
    }

    fn learn(&mut self, value: &Value) {
        match value {
            Value::Array(list) => list.iter().for_each(|value| self.learn(value)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.secrets.learn_one(name, value);
                    self.learn(value);
                }
            }
            _ => {}
        }
    }
}
