//! What templates match and fill, case by case and for random values.

use super::*;
use crate::dialect::Unfilled;
use proptest::prelude::*;
use serde_json::json;

fn template(value: &Value) -> Template {
    Template::compile(value).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "literals read better without `&`")]
fn check(pattern: &Value, message: &Value, expected: Option<Value>) {
    let found = template(pattern).matched(message);
    let found = found.map(|vars| Value::Object(vars.into_iter().collect()));
    assert_eq!(found, expected, "{pattern} against {message}");
}

#[test]
fn messages_are_matched() {
    check(&json!({"a": "$x"}), &json!({"a": [1], "b": 2}), Some(json!({"x": [1]})));
    check(&json!({"a": "$x"}), &json!({"b": 2}), None);
    check(&json!({"a?": "$x"}), &json!({"b": 2}), Some(json!({})));
    check(&json!({"a?": 1}), &json!({"a": 2}), None);
    check(&json!(["$x", "$x"]), &json!([1, 1]), Some(json!({"x": 1})));
    check(&json!(["$x", "$x"]), &json!([1, 2]), None);
    check(&json!(["$x"]), &json!([1, 2]), None);
    check(&json!("p-$x"), &json!("p-q"), Some(json!({"x": "q"})));
    check(&json!("p-$x-s"), &json!("p-s"), None);
    check(&json!("p-$x"), &json!(5), None);
    check(&json!("costs 5$$"), &json!("costs 5$"), Some(json!({})));
    check(&json!({"d": {"$json": {"x": "$x"}}}), &json!({"d": "{\"x\":1}"}), Some(json!({"x": 1})));
    check(&json!({"d": {"$json": {"x": "$x"}}}), &json!({"d": {"x": 1}}), Some(json!({"x": 1})));
    check(&json!({"d": {"$json": {"x": "$x"}}}), &json!({"d": "nonsense"}), None);
}

#[test]
fn a_key_is_either_optional_or_not() {
    let twice = Template::compile(&json!({"n": "$a", "n?": "$b"}));
    assert!(twice.is_err_and(|why| why.contains("`n`")));
}

#[test]
fn a_list_binds_what_its_items_bind() {
    let pattern = json!({"$list": "members", "of": {"id": "$member", "s?": "$state"}});
    let items = json!([{"id": "a"}, {"id": "b", "s": {}}]);
    let bound = json!({"members": [{"member": "a"}, {"member": "b", "state": {}}]});
    check(&pattern, &items, Some(bound));
    check(&pattern, &json!([]), Some(json!({"members": []})));
    check(&pattern, &json!([{"no": 1}]), None);
}

#[test]
fn a_list_can_have_items_of_several_forms() {
    let pattern = json!({"$list": "ops", "any": [
        {"of": {"Insert": {"key": "$key", "value": "$value"}}, "as": {"put": {"key": "$key", "value": "$value"}}},
        {"of": {"Remove": {"key": "$key"}}, "as": {"delete": {"key": "$key"}}},
    ]});
    let items = json!([{"Insert": {"key": "a", "value": null}}, {"Remove": {"key": "b"}}]);
    let ops = json!([{"put": {"key": "a", "value": null}}, {"delete": {"key": "b"}}]);
    check(&pattern, &items, Some(json!({"ops": ops})));
    check(&pattern, &json!([{"Move": {"key": "a"}}]), None);
    let fill = |ops: &Value| {
        template(&pattern)
            .fill(&Filling::of(&[("ops".to_owned(), ops.clone())].into(), &Definitions::new()))
    };
    assert_eq!(fill(&ops), Ok(items));
    assert_eq!(fill(&json!([{"move": 1}])), Err(Unfilled("ops".into())));
    for shape in [
        json!({"$list": "x"}),
        json!({"$list": "x", "any": 1}),
        json!({"$list": "x", "any": [{"as": 1}]}),
    ] {
        assert!(Template::compile(&shape).is_err_and(|why| why.contains("`any: [{ of, as }]`")));
    }
}

#[test]
fn a_number_can_be_sent_as_a_text() {
    let pattern = json!({"id": {"$text": "$id"}});
    let filled = template(&pattern)
        .fill(&Filling::of(&[("id".to_owned(), json!(7))].into(), &Definitions::new()));
    assert_eq!(filled, Ok(json!({"id": "7"})));
    check(&pattern, &json!({"id": "7"}), Some(json!({"id": "7"})));
    check(&pattern, &json!({"id": 7}), None);
}

#[test]
fn a_line_has_several_holes_and_one_way_to_be_read() {
    let line = json!({"$line": ":$who PRIVMSG #$room :$text"});
    let said = json!(":bob PRIVMSG #hall :well :) PRIVMSG #x :y");
    check(
        &line,
        &said,
        Some(json!({"who": "bob", "room": "hall", "text": "well :) PRIVMSG #x :y"})),
    );
    check(&line, &json!(":bob PRIVMSG hall :x"), None);
    check(&line, &json!(5), None);
    check(&json!({"$line": "$a,$b!"}), &json!("1,2,3!"), Some(json!({"a": "1", "b": "2,3"})));
    check(&json!({"$line": "$a,$b!"}), &json!("1,2!3"), None);
    check(&json!({"$line": "$a-$a"}), &json!("1-2"), None);
    check(&json!({"$line": "plain"}), &json!("plain"), Some(json!({})));
    for wrong in [json!({"$line": "$a$b"}), json!({"$line": 1}), json!({"$line": "$a", "b": 1})] {
        assert!(Template::compile(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn users_own_data_have_a_dot() {
    let vars = [("user".to_owned(), json!({"pass": "x"}))].into();
    let filled =
        template(&json!({"p": "$user.pass"})).fill(&Filling::of(&vars, &Definitions::new()));
    assert_eq!(filled, Ok(json!({"p": "x"})));
    let filled =
        template(&json!({"p": "$user.name"})).fill(&Filling::of(&vars, &Definitions::new()));
    assert_eq!(filled, Err(Unfilled("user.name".into())));
    assert!(Template::compile(&json!("$host.code")).is_err());
}

/// Each pattern, a message that is not like it, and the first difference.
#[test]
fn the_first_difference_is_named() {
    let check = |pattern: Value, message: Value, expected: &str| {
        let difference = template(&pattern).difference(&message);
        assert_eq!(difference.map(|it| it.fact).as_deref(), Some(expected), "{pattern}");
    };
    check(json!({"type": "chat"}), json!({"type": "chta"}), "`.type` is \"chta\", not \"chat\"");
    check(json!({"a": {"b": "$x"}}), json!({"a": {}}), "`.a.b` is missing");
    check(json!({"a": "$x"}), json!([1]), "the frame is [1], not a mapping");
    check(json!(["$x"]), json!([1, 2]), "the frame has 2 items, not 1");
    check(json!(["$x", "$x"]), json!([1, 2]), "`[1]` is 2, but `$x` was 1 before");
    check(json!({"r": "room-$x"}), json!({"r": "hall"}), "`.r` is \"hall\", not like `room-$x`");
    check(json!({"r": "room-$x"}), json!({"r": 1}), "`.r` is 1, not a text like `room-$x`");
    check(json!({"d": {"$json": {"x": 1}}}), json!({"d": "{\"x\":2}"}), "`.d.x` is 2, not 1");
    check(
        json!({"$list": "l", "of": {"id": "$member"}}),
        json!([{"id": 1}, {}]),
        "`[1].id` is missing",
    );
    check(json!({"$text": "$x"}), json!(1), "the frame is 1, not a text");
    check(json!({"$line": "$a, $b"}), json!("1 2"), "the frame is \"1 2\", not like `$a, $b`");
}

#[test]
fn a_definition_is_used_where_it_is_named() {
    let define = [("channel".to_owned(), template(&json!("presence-$room")))].into();
    let vars = [("room".to_owned(), json!("r"))].into();
    let filled =
        template(&json!({"c": "$channel", "x?": "$none"})).fill(&Filling::of(&vars, &define));
    assert_eq!(filled, Ok(json!({"c": "presence-r"})));
    let filled = template(&json!({"c": "$channel"})).fill(&Filling::of(&Vars::new(), &define));
    assert_eq!(filled, Err(Unfilled("room".into())));
}

#[test]
fn definitions_in_a_circle_end() {
    let define = [("a".to_owned(), template(&json!(["$a", "$a"])))].into();
    assert!(template(&json!("$a")).fill(&Filling::of(&Vars::new(), &define)).is_err());
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[ -~]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A mapping as people write it: no key stands in it twice, once with `?` and once without.
fn mapping(entries: &BTreeMap<String, Value>) -> Value {
    let plain = |key: &String| key.trim_end_matches('?').to_owned();
    let twice = |key: &String| key.ends_with('?') && entries.contains_key(&plain(key));
    Value::Object(
        entries.iter().filter(|(k, _)| !twice(k)).map(|(k, v)| (k.clone(), v.clone())).collect(),
    )
}

/// A template over the holes h0 to h3 and texts t0 to t1.
fn any_template() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (0..4).prop_map(|n| json!(format!("$h{n}"))),
        (0..2, "[a-z]{1,2}", "[a-z]{0,2}").prop_map(|(n, a, b)| json!(format!("{a}-$t{n}-{b}"))),
        "[a-z]{0,4}".prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map("[a-z]{1,3}[?]?", inner.clone(), 0..3)
                .prop_map(|entries| mapping(&entries)),
            inner.prop_map(|inner| json!({"$json": inner})),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_filled_is_matched_with_the_same_values(
        pattern in any_template(),
        values in prop::collection::vec(json_value(), 4),
        texts in prop::collection::vec("[ -~]{0,6}", 2),
    ) {
        let mut vars = Vars::new();
        vars.extend(values.into_iter().enumerate().map(|(n, value)| (format!("h{n}"), value)));
        vars.extend(texts.into_iter().enumerate().map(|(n, t)| (format!("t{n}"), json!(t))));
        let template = template(&pattern);
        let message = template.fill(&Filling::of(&vars, &Definitions::new())).unwrap();
        let bound = template.matched(&message);
        prop_assert!(bound.is_some(), "{} does not match {}", pattern, message);
        for (name, value) in bound.unwrap_or_default() {
            prop_assert_eq!(&vars[&name], &value, "{}", name);
        }
    }

    #[test]
    fn no_value_is_too_odd_for_a_template(value in json_value(), message in json_value()) {
        if let Ok(template) = Template::compile(&value) {
            template.matched(&message);
        }
    }

    #[test]
    fn a_difference_is_found_exactly_where_nothing_matches(
        pattern in any_template(),
        values in prop::collection::vec(json_value(), 4),
        other in json_value(),
    ) {
        let template = template(&pattern);
        let vars = values.into_iter().enumerate().map(|(n, value)| (format!("h{n}"), value));
        let texts = (0..2).map(|n| (format!("t{n}"), json!("t")));
        let message = template.fill(&Filling::of(&vars.chain(texts).collect(), &Definitions::new()));
        for message in message.into_iter().chain([other]) {
            let difference = template.difference(&message);
            prop_assert_eq!(template.matched(&message).is_none(), difference.is_some());
        }
    }
}

#[test]
fn what_is_signed_is_what_is_sent() {
    let define: Definitions = [
        ("body".to_owned(), template(&json!({"$json": {"at": {"$now": "ms"}, "text": "$text"}}))),
        ("md5".to_owned(), template(&json!({"$md5": "$body"}))),
    ]
    .into();
    let vars = [("text".to_owned(), json!("hi"))].into();
    let filled = template(&json!({"body": "$body", "md5": "$md5", "x?": {"$md5": "$none"}}));
    let filled = filled.fill(&Filling::of(&vars, &define)).unwrap();
    let again = template(&json!({"$md5": filled["body"]}));
    let again = again.fill(&Filling::of(&Vars::new(), &Definitions::new())).unwrap();
    assert_eq!((&filled["md5"], filled.get("x")), (&again, None));
    check(&json!({"a": {"$md5": "x"}}), &json!({"a": "9dd4e461268c8034f5c8564e155c67a6"}), None);
}

#[test]
fn a_parameter_is_what_it_is_when_receiving() {
    let kind = Vars::from([("kind".to_owned(), json!("private")), ("n".to_owned(), json!(1))]);
    let settled = |value: &Value| template(value).settled(&kind);
    let channel = settled(&json!({"c": "$kind-$room", "n?": "$n", "l": ["$kind"]}));
    assert_eq!(channel.ambiguous(), None);
    let frame = json!({"c": "private-x", "n": 1, "l": ["private"]});
    assert_eq!(channel.matched(&frame), Some(Vars::from([("room".to_owned(), json!("x"))])));
    assert_eq!(channel.matched(&json!({"c": "public-x", "l": ["private"]})), None);
    assert_eq!(channel.matched(&json!({"c": "private-x", "n": 2, "l": ["private"]})), None);
    let list = settled(&json!({"$list": "all", "of": {"k": "$kind", "v": "$v"}}));
    let items = json!([{"k": "private", "v": 5}]);
    assert_eq!(list.matched(&items), Some(Vars::from([("all".to_owned(), json!([{"v": 5}]))])));
}
