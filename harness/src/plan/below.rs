//! Turns the steps of a scenario file that lie below the dialect into those of a plan.

use super::{
    Action, AnswerPattern, Body, ClosedPattern, Comparison, Exchange, FramePlan, FramesPattern,
    HttpPlan, NonePattern, Part, Payload, Relation, ServerAct, TcpEnd,
};
use crate::scenario::expectations::{Closed, EndWord, Expect, ExpectNone};
use crate::scenario::marked::{At, Keyed};
use crate::scenario::steps::Step;
use crate::scenario::wire::{Answer, Content, Frame, Handshake, Http, OneOrList};

pub(super) fn action(step: &Step) -> Option<Action> {
    let parts = parts(step);
    if let Some(parts) = parts {
        return Some(Action::Transmit(parts));
    }
    if step.half_close.is_some() {
        return Some(Action::HalfClose);
    }
    let answer = || step.answer.as_ref().map(|answer| answered(answer)).unwrap_or_default();
    if let Some(handshake) = &step.handshake {
        let request = upgrade(handshake);
        return Some(Action::Http(Box::new(Exchange { request, answer: answer() })));
    }
    if let Some(http) = &step.http {
        let request = plain(http)?;
        return Some(Action::Http(Box::new(Exchange { request, answer: answer() })));
    }
    if step.drain.is_some() {
        return Some(Action::Drain);
    }
    comparison(step).map(Action::Compare).or_else(|| server(step).map(Action::Server))
}

fn parts(step: &Step) -> Option<Vec<Part>> {
    let value = |value: &At<serde_json::Value>| Part::Value(value.value.clone());
    if let Some(send) = &step.send {
        return Some(vec![value(send)]);
    }
    if let Some(sends) = &step.sends {
        return Some(sends.iter().map(value).collect());
    }
    if let Some(text) = &step.send_text {
        return Some(vec![Part::Text(text.0.clone())]);
    }
    if let Some(frame) = &step.frame {
        return Some(vec![Part::Frame(crafted(frame))]);
    }
    if let Some(frames) = &step.frames {
        return Some(frames.iter().map(|frame| Part::Frame(crafted(frame))).collect());
    }
    step.bytes.as_ref().map(|bytes| vec![Part::Bytes(bytes.0.clone())])
}

fn crafted(frame: &Frame) -> FramePlan {
    let content = frame.payload.as_ref().or(frame.reason.as_ref());
    FramePlan {
        opcode: frame.opcode.0,
        fin: frame.fin.unwrap_or(true),
        rsv: frame.rsv.as_ref().map_or(0, |rsv| rsv.value),
        masked: frame.masked.unwrap_or(true),
        length: frame.length.map(|length| length.0 as u64),
        code: frame.code.as_ref().map(|code| code.value),
        payload: payload(content),
    }
}

fn payload(content: Option<&At<Content>>) -> Payload {
    content.map_or_else(|| Payload::Bytes(Vec::new()), |content| content.0.clone())
}

fn upgrade(handshake: &Handshake) -> HttpPlan {
    if let Some(raw) = &handshake.raw {
        return HttpPlan::Raw(raw.0.clone());
    }
    HttpPlan::Upgrade {
        method: handshake.method.as_ref().map_or("GET", |method| method.as_str()).to_owned(),
        path: handshake.path.as_ref().map(|path| path.value.clone()),
        without: handshake.without.iter().map(|name| name.value.clone()).collect(),
        headers: headers(&handshake.headers),
    }
}

fn plain(http: &Http) -> Option<HttpPlan> {
    if let Some(request) = &http.request {
        let with = http.with.iter().map(|(name, value)| (name.value.clone(), value.value.clone()));
        return Some(HttpPlan::Named {
            request: request.value.clone(),
            with: with.collect(),
            headers: headers(&http.headers),
        });
    }
    let (method, path) = http.requests().into_iter().next()?;
    let form = |fields: &Keyed<At<String>>| {
        fields.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect()
    };
    let json = http.json.as_ref().map(|json| Body::Json(json.value.clone()));
    let form = http.form.as_ref().map(|fields| Body::Form(form(fields)));
    let body = http.body.as_ref().map(|body| Body::Plain(body.0.clone()));
    Some(HttpPlan::Plain {
        method: method.to_owned(),
        path: path.value.clone(),
        headers: headers(&http.headers),
        body: json.or(form).or(body),
    })
}

fn headers(headers: &Keyed<At<OneOrList>>) -> Vec<(String, String)> {
    let each = headers.iter().flat_map(|(name, values)| {
        values.value.0.iter().map(|value| (name.value.clone(), value.clone()))
    });
    each.collect()
}

fn answered(answer: &Answer) -> AnswerPattern {
    let headers = answer.headers.iter();
    AnswerPattern {
        status: answer.status.iter().flat_map(|list| &list.0).map(|word| word.0).collect(),
        headers: headers.map(|(name, value)| (name.value.clone(), value.value.clone())).collect(),
        body: answer.body.as_ref().map(|body| body.value.clone()),
        json: answer.json.as_ref().map(|json| json.value.clone()),
    }
}

fn comparison(step: &Step) -> Option<Comparison> {
    let values = |list: &At<Vec<At<serde_json::Value>>>| {
        list.iter().map(|value| value.value.clone()).collect()
    };
    let name = |name: &At<String>| name.trim_start_matches('$').to_owned();
    let related = |list: &Option<At<Vec<At<serde_json::Value>>>>, relation| {
        list.as_ref().map(|list| Comparison::Values(values(list), relation))
    };
    let same = related(&step.same, Relation::Same);
    let differ = || related(&step.differ, Relation::Differ);
    let ordered = || related(&step.ordered, Relation::Ordered);
    let equal = || step.equal.as_ref().map(|it| Comparison::Members(name(it), true));
    let distinct = || step.distinct.as_ref().map(|it| Comparison::Members(name(it), false));
    same.or_else(differ).or_else(ordered).or_else(equal).or_else(distinct)
}

fn server(step: &Step) -> Option<ServerAct> {
    if step.stop_server.is_some() {
        Some(ServerAct::Stop)
    } else if step.kill_server.is_some() {
        Some(ServerAct::Kill)
    } else if step.start_server.is_some() {
        Some(ServerAct::Start)
    } else {
        step.expect_exit.as_ref().map(|code| ServerAct::Expect(code.value))
    }
}

pub(super) fn frames(expect: &Expect, count: u32) -> Option<FramesPattern> {
    let one = expect.frame.as_ref().map(|one| FramesPattern::Some(one.value.clone(), count));
    let several = expect.frames.as_ref().map(|all| {
        FramesPattern::InOrder(all.iter().map(|pattern| pattern.value.clone()).collect())
    });
    let next = expect.next.as_ref().map(|next| FramesPattern::Next(next.value.clone()));
    one.or(several).or(next)
}

pub(super) fn closed(closed: &Closed) -> ClosedPattern {
    ClosedPattern {
        by: closed.by.unwrap_or_default(),
        codes: closed.code.iter().flat_map(|list| &list.0).map(|word| word.0).collect(),
        clean: closed.clean,
        end: match closed.end {
            Some(EndWord::Fin) => Some(TcpEnd::Fin),
            Some(EndWord::Rst) => Some(TcpEnd::Rst),
            Some(EndWord::Any) | None => None,
        },
        not_before: closed.not_before.clone(),
        not_after: closed.not_after.clone(),
    }
}

pub(super) fn none(none: &ExpectNone) -> NonePattern {
    NonePattern {
        of: none.of.iter().map(|kind| kind.value).collect(),
        frames: none.patterns().map(|pattern| pattern.value.clone()).collect(),
        wait: none.span.map_or(std::time::Duration::ZERO, |span| span.0),
    }
}
