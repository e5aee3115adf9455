//! The directive language against its model, its conformance file, and `EnvFilter`.

use crate::scenario::{Held, Place, Scenario};
use proptest::prelude::*;
use telemetry_core::Level;
use telemetry_core::filter::{Directive, Filter};

const CASES: &str = include_str!("../filter-conformance.jsonl");

fn place(value: &serde_json::Value) -> Place {
    let text = |key: &str, default: &str| {
        value.get(key).and_then(|text| text.as_str()).unwrap_or(default).to_owned()
    };
    let held = |value: &serde_json::Value| match value {
        serde_json::Value::Bool(value) => Held::Bool(*value),
        serde_json::Value::Number(value) => Held::Integer(value.as_i64().unwrap()),
        value => Held::Text(value.as_str().unwrap().to_owned()),
    };
    let fields = value.get("fields").and_then(|fields| fields.as_object());
    let fields = fields.into_iter().flatten();
    Place {
        name: text("name", "event"),
        target: text("target", "app"),
        level: text("level", "info").parse().unwrap(),
        fields: fields.map(|(name, value)| (name.clone(), held(value))).collect(),
    }
}

/// Filter, spans, event, and what is expected: `"enabled"`, `"disabled"` or `"error"`.
#[test]
fn conformance_file_holds_and_env_filters_failures_are_counted() {
    let (mut count, mut failed, mut wrong) = (0, Vec::new(), Vec::new());
    for line in CASES.lines().filter(|line| !line.is_empty()) {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let spans = case.get("spans").and_then(|spans| spans.as_array());
        let scenario = Scenario {
            filter: case["filter"].as_str().unwrap().to_owned(),
            spans: spans.into_iter().flatten().map(place).collect(),
            event: place(&case["event"]),
        };
        let said = |outcome: Result<bool, String>| match outcome {
            Ok(true) => "enabled",
            Ok(false) => "disabled",
            Err(_) => "error",
        };
        let expected = case["expected"].as_str().unwrap();
        assert_eq!(said(scenario.explained()), expected, "explained: {line}");
        assert_eq!(said(scenario.delivered()), expected, "delivered: {line}");
        let env_filter = said(scenario.env_filter());
        let noted = case.get("env_filter").and_then(|said| said.as_str()).unwrap_or(expected);
        if env_filter != noted {
            wrong.push(format!("EnvFilter says {env_filter}: {line}"));
        }
        if env_filter != expected {
            failed.push(scenario.filter);
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("EnvFilter fails {} of {count} cases: {failed:?}", failed.len());
    assert_eq!((failed.len(), count), (31, 70), "`docs/filtering.md` says so");
}

fn level() -> impl Strategy<Value = Level> {
    prop::sample::select(&Level::ALL[..])
}

fn level_text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["off", "error", "warn", "info", "debug", "trace"][..])
}

fn target() -> impl Strategy<Value = String> {
    prop::sample::select(&["app", "app::db", "app::db::pool", "other"][..]).prop_map(str::to_owned)
}

fn span_name() -> impl Strategy<Value = String> {
    prop::sample::select(&["s", "t"][..]).prop_map(str::to_owned)
}

fn held() -> impl Strategy<Value = Held> {
    prop_oneof![
        (0_i64..3).prop_map(Held::Integer),
        any::<bool>().prop_map(Held::Bool),
        prop::sample::select(&["x", "y"][..]).prop_map(|text| Held::Text(text.to_owned())),
    ]
}

fn fields() -> impl Strategy<Value = Vec<(String, Held)>> {
    (prop::option::of(held()), prop::option::of(held())).prop_map(|(a, b)| {
        let named = [("a", a), ("b", b)].into_iter();
        named.filter_map(|(name, held)| Some((name.to_owned(), held?))).collect()
    })
}

fn place_of(name: impl Strategy<Value = String>) -> impl Strategy<Value = Place> {
    (name, target(), level(), fields()).prop_map(|(name, target, level, fields)| Place {
        name,
        target,
        level,
        fields,
    })
}

fn static_directive() -> impl Strategy<Value = String> {
    prop_oneof![
        level_text().prop_map(str::to_owned),
        target(),
        (target(), level_text()).prop_map(|(target, level)| format!("{target}={level}")),
    ]
}

/// What `EnvFilter`'s documentation describes: at most one field, no quotes.
fn documented_directive() -> impl Strategy<Value = String> {
    let value = prop::sample::select(&["", "=0", "=1", "=2", "=true", "=false", "=x", "=y"][..]);
    let field = (prop::sample::select(&["a", "b"][..]), value)
        .prop_map(|(field, value)| format!("{{{field}{value}}}"));
    let place =
        (prop::option::of(target()), prop::option::of(span_name()), prop::option::of(field))
            .prop_filter("a span or a field", |(_, span, field)| span.is_some() || field.is_some());
    let dynamic = (place, level_text()).prop_map(|((target, span, field), level)| {
        let part = |text: Option<String>| text.unwrap_or_default();
        format!("{}[{}{}]={level}", part(target), part(span), part(field))
    });
    prop_oneof![static_directive(), dynamic]
}

fn scenario(directive: impl Strategy<Value = String>) -> impl Strategy<Value = Scenario> {
    let spans = prop::collection::vec(place_of(span_name()), 0..3);
    let event = place_of(Just("event".to_owned()));
    (prop::collection::vec(directive, 1..5), spans, event)
        .prop_map(|(filter, spans, event)| Scenario { filter: filter.join(","), spans, event })
}

/// Any text of the language, spelled in any way.
fn any_directive() -> impl Strategy<Value = String> {
    let test = prop_oneof![
        Just(String::new()),
        prop::sample::select(
            &[
                "=1",
                "!= 1",
                "<2",
                "<= 1",
                ">0",
                " >=2",
                "=1.0",
                "=true",
                "=x",
                "=\"x\"",
                "!=x",
                "~\"[xy]\"",
                "!~x",
                "=x*",
                "=\"a,}]\\\"\""
            ][..],
        )
        .prop_map(str::to_owned),
    ];
    let field = (prop::sample::select(&["a", "b", " a "][..]), test)
        .prop_map(|(field, test)| format!("{field}{test}"));
    let braces = prop::option::of(prop::collection::vec(field, 1..3));
    let place = (prop::option::of(target()), prop::option::of(span_name()), braces);
    let dynamic = (place, prop::option::of(level_text()))
        .prop_filter("a span or a field", |((_, span, fields), _)| {
            span.is_some() || fields.is_some()
        })
        .prop_map(|((target, span, fields), level)| {
            let fields = fields.map(|fields| format!("{{{}}}", fields.join(",")));
            let level = level.map(|level| format!(" = {level}"));
            let part = |text: Option<String>| text.unwrap_or_default();
            format!("{}[{}{}]{}", part(target), part(span), part(fields), part(level))
        });
    prop_oneof![static_directive(), dynamic]
}

/// Why a decision may differ from `EnvFilter`'s: the rows of the table in `docs/filtering.md`.
fn is_on_purpose(
    scenario: &Scenario,
    ours: bool,
    directive: Option<&Directive>,
    in_event: bool,
) -> bool {
    let Some(directive) = directive else { return false };
    let filter = Filter::parse(&scenario.filter).unwrap();
    // Directives of spans and fields can lower the level, too.
    let lowers = !ours && directive.is_dynamic();
    // An event's own fields count, and outrank a target.
    let is_events_own = in_event && directive.is_dynamic();
    // A span carries its directive whatever its level.
    let least = filter.directives().iter().filter_map(Directive::level).min();
    let is_span_too_low =
        scenario.spans.iter().any(|span| least.is_none_or(|least| span.level < least));
    lowers || is_events_own || (ours && is_span_too_low && directive.is_dynamic())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn targets_and_levels_decide_as_in_env_filter(scenario in scenario(static_directive())) {
        prop_assert_eq!(scenario.explained(), scenario.env_filter());
    }

    #[test]
    fn spans_and_fields_decide_as_in_env_filter_or_differ_on_purpose(
        scenario in scenario(documented_directive()),
    ) {
        let filter = Filter::parse(&scenario.filter).unwrap();
        let (ours, on_purpose) = scenario.explain(&filter, |explanation| {
            let in_event = explanation.span.is_none();
            let ours = explanation.enabled;
            (ours, is_on_purpose(&scenario, ours, explanation.directive, in_event))
        });
        let theirs = scenario.env_filter().unwrap();
        prop_assert!(ours == theirs || on_purpose, "ours {ours}, theirs {theirs}");
    }

    #[test]
    fn printed_filter_is_read_as_the_same(filter in prop::collection::vec(any_directive(), 0..6)) {
        let filter = Filter::parse(&filter.join(" , ")).unwrap();
        let printed = filter.to_string();
        let again = Filter::parse(&printed).unwrap();
        prop_assert_eq!(&again, &filter);
        prop_assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn no_text_makes_the_parser_panic(
        text in "[a-z\\[\\]{}=<>!~\",;: 0-9.*()\\\\\u{e9}\u{0}-]{0,60}",
    ) {
        match Filter::parse(&text) {
            Ok(filter) => prop_assert_eq!(&Filter::parse(&filter.to_string()).unwrap(), &filter),
            Err(error) => {
                let _ = (error.render(), error.to_string());
                prop_assert!(error.span().start <= text.len());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn pipeline_delivers_what_explain_says(scenario in scenario(any_directive())) {
        prop_assert_eq!(scenario.delivered(), scenario.explained());
    }
}

#[test]
fn the_worst_filters_are_read_in_bounded_time() {
    let fill = |part: &str| part.repeat(8 * 1024 / part.len());
    let worst = [
        fill("a"),
        fill("a,"),
        fill("["),
        fill("\\"),
        fill("\""),
        fill("[{a~\"(a*)*b\"}],"),
        fill("[{a~\"\\w{60}\"}],"),
        fill("[{a~\"(((a{9}){9}){9}){9}\"}],"),
        fill("abcdefg,"),
        fill("aaa=info,"),
    ];
    for text in worst {
        let begun = crate::support::now();
        let _ = Filter::parse(&text).map_err(|error| error.render());
        let taken = crate::support::now() - begun;
        // 8 KiB at 1 ms per KiB, and room for a slow machine and an unoptimised build.
        assert!(taken.as_millis() < 400, "{taken:?} for {}", &text[..20]);
    }
}
