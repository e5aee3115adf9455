//! Every line of the propagation requirements, as tables and as properties.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// Lines of a committed table: expectation, `|`, input.
fn cases(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('|').unwrap())
}

/// `~N*TEXT~` stands for TEXT N times, `\t` for a tab, `\s` for a space.
fn expand(text: &str) -> String {
    let mut parts = text.split('~');
    let mut out = parts.next().unwrap_or_default().to_owned();
    while let Some(part) = parts.next() {
        let (count, text) = part.split_once('*').unwrap();
        out.push_str(&text.repeat(count.parse().unwrap()));
        out.push_str(parts.next().unwrap_or_default());
    }
    out.replace("\\t", "\t").replace("\\s", " ")
}

#[test]
fn traceparent_table() {
    for (expected, input) in cases(include_str!("cases/traceparent.txt")) {
        let input = expand(input);
        let found = TraceParent::parse(&input).map(|parent| parent.to_string());
        assert_eq!(found.as_deref().unwrap_or("invalid"), expected, "{input:?}");
    }
}

#[test]
fn tracestate_table() {
    for (expected, input) in cases(include_str!("cases/tracestate.txt")) {
        let input = expand(input);
        // Several headers are written with `;;` in between.
        let found = TraceState::parse(input.split(";;")).map(|state| state.to_string());
        assert_eq!(found.as_deref().unwrap_or("invalid"), expand(expected), "{input:?}");
    }
}

#[test]
fn baggage_table() {
    for (expected, input) in cases(include_str!("cases/baggage.txt")) {
        let input = expand(input);
        let found = Baggage::parse(input.split(";;")).to_string();
        assert_eq!(found, expand(expected), "{input:?}");
    }
}

fn carrier(parents: &[&str], states: &[&str]) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let parents = parents.iter().map(|value| pair("TraceParent", value));
    parents.chain(states.iter().map(|value| pair("tracestate", value))).collect()
}

#[test]
fn tracestate_is_read_behind_a_good_traceparent_only() {
    let good = format!("00-{TRACE}-{SPAN}-01");
    let extract = |parents: &[&str], states: &[&str]| {
        Propagators::default().extract(&carrier(parents, states)).span
    };
    assert_eq!(extract(&[], &["a=1"]), None);
    assert_eq!(extract(&["00-bad"], &["a=1"]), None);
    assert_eq!(extract(&[&good, &good], &["a=1"]), None, "a repeated header is no header");
    let span = extract(&[&good], &["a=1", "b=2,"]).unwrap();
    assert_eq!(span.state.to_string(), "a=1,b=2", "all headers are read, in order");
    assert!(span.is_remote);
    let span = extract(&[&good], &["a=1", "B=2"]).unwrap();
    assert!(span.state.is_empty(), "a bad state leaves the parent good");
}

#[test]
fn failure_never_overwrites_what_was_there() {
    let propagators = Propagators::default();
    let mut headers = carrier(&[&format!("00-{TRACE}-{SPAN}-03")], &["a=1"]);
    headers.push(("baggage".to_owned(), "k=v".to_owned()));
    let good = propagators.extract(&headers);
    let bad = [("traceparent", "ff-x"), ("tracestate", "x=1"), ("baggage", "no member")];
    assert_eq!(propagators.extract_over(&bad, good.clone()), good);
    assert_eq!(propagators.extract(&bad), RemoteContext::default());
}

#[test]
fn propagators_read_and_write_what_they_are_for() {
    let mut headers = carrier(&[&format!("00-{TRACE}-{SPAN}-01")], &["a=1"]);
    headers.push(("baggage".to_owned(), "k=v".to_owned()));
    let names = |propagators: Propagators| {
        let all = Propagators::default().extract(&headers);
        let mut out = HashMap::new();
        propagators.inject_from(&all, &mut out);
        let mut names: Vec<String> = out.into_keys().collect();
        names.sort();
        names
    };
    assert_eq!(names(Propagators::NONE), [""; 0]);
    assert_eq!(names(Propagators::TRACE_CONTEXT), ["traceparent", "tracestate"]);
    assert_eq!(names(Propagators::BAGGAGE), ["baggage"]);
    assert!(Propagators::BAGGAGE.extract(&headers).span.is_none());
    assert!(Propagators::TRACE_CONTEXT.extract(&headers).baggage.is_empty());
    assert_eq!(Propagators::from_names("none"), (Propagators::NONE, vec![]));
    let (known, unknown) = Propagators::from_names(" Baggage , b3,TRACECONTEXT,baggage,jaeger");
    assert_eq!((known, unknown), (Propagators::default(), vec!["b3", "jaeger"]));
}

#[test]
fn carriers_replace_without_regard_to_case() {
    let mut map = HashMap::from([("TRACEPARENT".to_owned(), "old".to_owned())]);
    map.set("traceparent", "new".to_owned());
    assert_eq!(map.get_all("Traceparent").collect::<Vec<_>>(), ["new"]);
    let mut pairs = carrier(&["one", "two"], &[]);
    pairs.set("traceparent", "new".to_owned());
    assert_eq!(pairs.get_all("traceparent").collect::<Vec<_>>(), ["new"]);
}

#[test]
fn variables_have_normalised_names() {
    let mut command = std::process::Command::new("true");
    command.set("traceparent", "x".to_owned());
    let names: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["TRACEPARENT"]);
    for (name, expected) in [("a-b.c", "A_B_C"), ("1x", "_1X"), ("BAGGAGE", "BAGGAGE")] {
        assert_eq!(variable_name(name), expected);
    }
}

#[test]
fn long_states_lose_their_long_members_first() {
    let long = format!("long={}", "v".repeat(200));
    let short = |n: usize| format!("k{n:02}={}", "v".repeat(90));
    let mut members: Vec<String> = (0..25).map(short).collect();
    members.insert(0, long);
    let state = TraceState::parse([members.join(",").as_str()]).unwrap();
    let keys: Vec<&str> = state.members().map(|(key, _)| key).collect();
    assert!(!keys.contains(&"long") && keys[0] == "k00" && keys.len() >= 20, "{keys:?}");
    assert!(state.as_str().len() <= TRACE_STATE_BYTES_MAX);
    let mut full = TraceState::parse([(0..32)
        .map(|n| format!("k{n}=1"))
        .collect::<Vec<_>>()
        .join(",")
        .as_str()])
    .unwrap();
    assert!(full.insert("new", "1") && !full.insert("New", "1") && !full.insert("new", "a,b"));
    assert_eq!(full.members().count(), 32);
    assert_eq!((full.get("new"), full.get("k31"), full.get("k30")), (Some("1"), None, Some("1")));
    full.remove("new");
    assert_eq!(full.get("new"), None);
}

#[test]
fn baggage_keeps_whole_members_within_the_limits() {
    let members: Vec<String> = (0..70).map(|n| format!("k{n}=v")).collect();
    let (first, second) = members.split_at(40);
    let baggage = Baggage::parse([first.join(",").as_str(), second.join(",").as_str()]);
    assert_eq!(baggage.len(), BAGGAGE_MEMBERS_MAX, "the limit is across all headers");
    let big = format!("a={},b={},c=1", "x".repeat(5000), "y".repeat(5000));
    let baggage = Baggage::parse([big.as_str()]);
    assert_eq!(baggage.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["a", "c"]);
    let exact = format!("k={}", "x".repeat(BAGGAGE_BYTES_MAX - 2));
    assert_eq!(Baggage::parse([exact.as_str()]).to_string(), exact);
    assert!(Baggage::parse([format!("{exact}x").as_str()]).is_empty());
    let mut baggage = Baggage::default();
    assert!(baggage.insert("k", "a,b;c\"") && !baggage.insert("no token", "v"));
    assert_eq!(format!("{baggage} {baggage:?}"), "k=a%2Cb%3Bc%22 Baggage{\"k\"}");
    baggage.remove("k");
    assert_eq!(baggage, Baggage::default());
}

fn round_trip(carrier: &[(String, String)]) {
    let propagators = Propagators::default();
    let first = propagators.extract(carrier);
    let mut sent: Vec<(String, String)> = Vec::new();
    propagators.inject_from(&first, &mut sent);
    let second = propagators.extract(&sent);
    assert_eq!(first, second, "{carrier:?}");
    assert!(sent.iter().all(|(_, value)| value.is_ascii()));
}

/// What is sent on for a `traceparent`: the oracle is a regular expression.
fn parent_by_grammar(text: &str) -> Option<String> {
    const GRAMMAR: &str = "^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})((?s:-.*)?)$";
    static PATTERN: std::sync::LazyLock<regex_lite::Regex> =
        std::sync::LazyLock::new(|| regex_lite::Regex::new(GRAMMAR).unwrap());
    let found = PATTERN.captures(text.trim_matches([' ', '\t']))?;
    let [version, trace, span, flags, rest] = [1, 2, 3, 4, 5].map(|n| &found[n]);
    let is_known = version != "ff" && (version != "00" || rest.is_empty());
    let has_ids = [trace, span].iter().all(|id| id.contains(|digit| digit != '0'));
    let flags = u8::from_str_radix(flags, 16).ok()? & 3;
    (is_known && has_ids).then(|| format!("00-{trace}-{span}-{flags:02x}"))
}

proptest! {
    #[test]
    fn arbitrary_headers_never_panic(
        values in prop::collection::vec((0..3_usize, any::<Vec<u8>>()), 0..6),
    ) {
        let named = |(n, value): &(usize, Vec<u8>)| {
            (propagate::FIELDS[*n].to_owned(), String::from_utf8_lossy(value).into_owned())
        };
        round_trip(&values.iter().map(named).collect::<Vec<_>>());
    }

    #[test]
    fn headers_that_are_nearly_right_survive_a_round_trip(
        parent in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]{0,3})?",
        states in prop::collection::vec("[a-z0-9][a-z0-9@_*/-]{0,6}=[ -~]{1,9}[ ,]{0,2}", 0..9),
        baggage in prop::collection::vec(
            "[a-zA-Z!#]{1,3} ?= ?([!-~]|%[0-9A-Fa-f]{2}){0,9}(;[a-z=]{0,4})?", 0..9,
        ),
    ) {
        let states: Vec<&str> = states.iter().map(String::as_str).collect();
        let mut carrier = carrier(&[&parent], &states);
        carrier.push(("baggage".to_owned(), baggage.join(",")));
        round_trip(&carrier);
    }

    #[test]
    fn any_text_is_a_value_of_baggage(key in "[a-z.]{1,8}", value in any::<String>()) {
        let mut baggage = Baggage::default();
        if baggage.insert(&key, &value) {
            let read = Baggage::parse([baggage.to_string().as_str()]);
            prop_assert_eq!(read.get(&key), Some(value.as_str()));
        }
    }

    #[test]
    fn parents_are_read_as_the_grammar_says(
        text in prop_oneof![
            "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]{0,3})?",
            "(00|01|ff|0)-(0{32}|[0-9a-fA]{31,33})-(0{16}|[0-9a-f]{15,17})-[0-9a-g]{1,3}[ -]?x?",
            any::<String>(),
        ],
        mutation in prop::option::of((0..60_usize, any::<char>())),
    ) {
        let mut text: Vec<char> = text.chars().collect();
        if let Some((at, character)) = mutation.filter(|(at, _)| *at < text.len()) {
            text[at] = character;
        }
        let text: String = text.into_iter().collect();
        let read = TraceParent::parse(&text).map(|parent| parent.to_string());
        prop_assert_eq!(read, parent_by_grammar(&text), "{:?}", text);
    }

    #[test]
    fn states_are_read_as_the_grammar_says(
        text in prop_oneof!["([a-c@*A ]{0,3}=?[ -~]{0,4},?){0,40}", any::<String>()],
    ) {
        let grammar = r"^[a-z0-9][a-z0-9_*/@-]{0,255}=([ -+\x2d-<>-~]{0,255}[!-+\x2d-<>-~])$";
        let member = regex_lite::Regex::new(grammar).unwrap();
        let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
        let members: Vec<&str> = members.filter(|member| !member.is_empty()).collect();
        let is_right = members.len() <= 32 && members.iter().all(|one| member.is_match(one));
        let state = TraceState::parse([text.as_str()]);
        prop_assert_eq!(state.is_some(), is_right, "{:?}", text);
        if let Some(state) = state {
            let again = TraceState::parse([state.as_str()]);
            prop_assert_eq!(again, Some(state));
        }
    }

    #[test]
    fn parents_that_are_written_are_read(trace in 1_u128.., span in 1_u64.., bits in any::<u8>()) {
        let (trace_id, span_id) = (TraceId::new(trace).unwrap(), SpanId::new(span).unwrap());
        let parent = TraceParent { trace_id, span_id, flags: TraceFlags::from_bits(bits) };
        prop_assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
    }
}
