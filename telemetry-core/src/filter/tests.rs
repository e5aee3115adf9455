//! Claims about the language: what is read, what decides, what is refused.

use super::*;

fn check(text: &str, target: &str, level: Level, expected: bool) {
    let filter: Filter = text.parse().unwrap();
    assert_eq!(filter.enabled(target, level), expected, "{text} for {target} {level}");
    let again: Filter = filter.to_string().parse().unwrap();
    assert_eq!(again, filter, "printed and read again");
}

#[test]
fn longest_matching_target_decides() {
    check("info,app=warn,app::db=trace", "app::db::pool", Level::Trace, true);
    check("info,app=warn,app::db=trace", "app::web", Level::Info, false);
    check("info,app=warn", "application", Level::Info, true);
    check("app=debug", "other", Level::Error, false);
    check("off", "app", Level::Error, false);
    check("", "app", Level::Error, false);
    check("app", "app::x", Level::Trace, true);
    check("app=", "app::x", Level::Trace, true);
    check("app=off,info", "app", Level::Error, false);
    check("\"my target!\"=warn", "my target!", Level::Warn, true);
}

#[test]
fn spaces_empty_parts_case_and_dashes_are_tolerated() {
    check(" INFO ,, my-app = Debug ,", "my_app::x", Level::Debug, true);
    check("my_app=debug", "my-app", Level::Debug, true);
    check("3", "x", Level::Info, true);
    check("info;app=trace\n", "app", Level::Trace, true);
}

#[test]
fn later_directive_wins_among_equals() {
    check("app=debug,app=error", "app", Level::Warn, false);
    check("error,debug", "app", Level::Debug, true);
}

/// Fields written as `name=value`.
fn fields(texts: &[&'static str]) -> Vec<(&'static str, FieldValue<'static>)> {
    texts
        .iter()
        .map(|text| text.split_once('=').unwrap())
        .map(|(name, value)| (name, FieldValue::from_text(value)))
        .collect()
}

/// Is a debug event of target `app` wanted in a span `request` with these fields?
fn in_request(filter: &str, span_fields: &[&'static str]) -> bool {
    let filter = Filter::parse(filter).unwrap();
    let span_fields = fields(span_fields);
    let spans = [SpanRecord { name: "request", target: None, fields: &span_fields }];
    let record = Record { target: "app", level: Level::Debug, fields: &[], spans: &spans };
    assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter, "printed and read again");
    filter.explain(&record).enabled
}

#[test]
fn values_are_compared_by_what_they_are() {
    let table = [
        ("id=42", "id=42", true),
        ("id=42", "id=43", false),
        ("id=42", "other=42", false),
        ("id=42.0", "id=42", true),
        ("id!=42", "id=43", true),
        ("id!=42", "id=42", false),
        ("id<10", "id=9.5", true),
        ("id<10", "id=10", false),
        ("id<=10", "id=10", true),
        ("id>-5", "id=-4", true),
        ("id>=500", "id=499", false),
        (
            "id=340282366920938463463374607431768211455",
            "id=340282366920938463463374607431768211455",
            true,
        ),
        ("id=NaN", "id=NaN", true),
        ("id=true", "id=true", true),
        ("id=true", "id=false", false),
        ("id!=true", "id=false", true),
        ("id=bob", "id=bob", true),
        ("id=\"bob\"", "id=bob", true),
        ("id=bob", "id=bobby", false),
        ("id=\"a \\\"b\\\" \\\\ c\"", "id=a \"b\" \\ c", true),
        ("id!=bob", "id=eve", true),
        ("id=bo.*", "id=bobby", true),
        ("id=bo.*", "id=a bob", false),
        ("id!=bo.*", "id=a bob", true),
        ("id~\"^/api/v[0-9]+/\"", "id=/api/v12/users", true),
        ("id=~\"bob\"", "id=a bobby", true),
        ("id!~\"bob\"", "id=a bobby", false),
        ("id", "id=whatever", true),
        ("id=1.2.3", "id=1.2.3", true),
        ("http.route=/users", "http.route=/users", true),
        ("a=1,b=2", "a=1", false),
    ];
    for (condition, field, expected) in table {
        for filter in [format!("[request{{{condition}}}]"), format!("[{{ {condition} }}]=debug")] {
            assert_eq!(in_request(&filter, &[field]), expected, "{filter} with {field}");
        }
    }
    assert!(in_request("[request{a=1, b=\"x,}\"}]=debug", &["a=1", "b=x,}"]));
    assert!(!in_request("[request{a=1,b=2}]=debug", &["a=1", "b=3"]));
}

#[test]
fn most_specific_directive_decides_and_off_is_a_level() {
    let table = [
        ("debug,[request]=off", false),
        ("off,[request]=debug", true),
        ("app=off,[request]=debug", true),
        ("[request]=off,[request{id}]=debug", true),
        ("[request{id=42}]=off,[request{id}]=debug", false),
        ("[{id=42}]=debug,app[request]=off", true),
        ("[request]=off,app[request]=debug", true),
        ("[request]=debug,[request]=off", false),
        ("[{id=42}]=debug,[{id>41}]=off", false),
        ("other[request]=debug", false),
        ("[other]=debug", false),
        ("debug,[other]=off", true),
        ("[\"request\"]=debug", true),
    ];
    for (filter, expected) in table {
        assert_eq!(in_request(filter, &["id=42"]), expected, "{filter}");
    }
}

#[test]
fn events_carry_conditions_on_fields_themselves() {
    let filter = Filter::parse("off,app[{status>=500}]=info,app[request{status>=500}]").unwrap();
    let held = fields(&["status=503"]);
    let record = Record { target: "app", level: Level::Info, fields: &held, spans: &[] };
    assert!(filter.explain(&record).enabled, "{filter}");
    assert!(!filter.explain(&Record { target: "other", ..record }).enabled);
    assert!(!filter.explain(&Record { fields: &[], ..record }).enabled);
}

#[test]
fn mistakes_are_errors_with_place_and_suggestion() {
    use FilterErrorKind as Kind;
    let table = [
        ("inof", Kind::Level, 0..4, "did you mean `info`, or the target `inof=trace`?"),
        ("debgu", Kind::Level, 0..5, "did you mean `debug`, or the target `debgu=trace`?"),
        ("info,warning", Kind::Level, 5..12, "did you mean `warn`"),
        ("app=inof", Kind::Level, 4..8, "did you mean `info`?"),
        ("app=loud", Kind::Level, 4..8, "use one of off, error"),
        ("app={a}", Kind::Level, 4..7, "use one of"),
        ("{a=1}", Kind::Syntax, 0..1, "`[{field=value}]`"),
        ("invalid123.&/?", Kind::Syntax, 11..12, "expected `,`"),
        ("app[span", Kind::Syntax, 8..8, "expected `]`"),
        ("app[]", Kind::Syntax, 3..5, "name a span or a field"),
        ("[{}]", Kind::Syntax, 2..3, "expected the name of a field"),
        ("[{a=}]", Kind::Syntax, 4..5, "expected a value"),
        ("[{a=\"x}]", Kind::Syntax, 4..5, "expected `\"`"),
        ("[{a<b}]", Kind::Value, 4..5, "compare numbers"),
        ("[s]=info x", Kind::Syntax, 9..10, "expected `,`"),
    ];
    for (text, kind, span, suggestion) in table {
        let error = Filter::parse(text).unwrap_err();
        assert_eq!((error.kind(), error.span()), (kind, span), "{text}: {error}");
        let said = error.suggestion().unwrap_or_default();
        assert!(said.contains(suggestion), "{text}: {said}");
        assert!(text.parse::<Filter>().unwrap_err().is_setting());
    }
    let error = Filter::parse("[{a~\"(\"}]").unwrap_err();
    assert_eq!(error.kind(), Kind::Pattern, "{error}");
}

#[test]
fn carets_stand_under_the_spot() {
    let error = Filter::parse("größe=debug, app=debgu").unwrap_err();
    let text = error.render();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[2], " | größe=debug, app=debgu");
    assert_eq!(lines[3], " |                  ^^^^^ did you mean `debug`?");
    let long = format!("{}app=inof{}", "a=info,".repeat(50), ",b=info".repeat(50));
    let text = Filter::parse(&long).unwrap_err().render();
    let at = |line: usize, what: &str| text.lines().nth(line).unwrap().find(what).unwrap();
    assert_eq!(at(2, "inof"), at(3, "^^^^"), "{text}");
}

#[test]
fn limits_are_named() {
    let texts = [
        ("x".repeat(FILTER_BYTES_MAX + 1), "8192"),
        ("x".repeat(1 << 20), "8192"),
        ("a=off,".repeat(1200), "1024"),
        ("a,".repeat(10_000), "8192"),
        ("app::module=debug,".repeat(10_000), "8192"),
        ("[a],".repeat(65), "64"),
        (format!("[{{{}}}]", "a,".repeat(9)), "8"),
        ("[{a~\"\\w{9999}{9999}\"}]".to_owned(), "limit"),
        (format!("[{{a~\"{}a{}\"}}]", "(".repeat(500), ")".repeat(500)), "limit"),
        ("[{a~\"((((a{100}){100}){100}){100})\"}]".to_owned(), "65536"),
        ("[{a~\"(x+x+){9999}y\"}]".to_owned(), "65536"),
    ];
    for (text, limit) in texts {
        let error = Filter::parse(&text).unwrap_err();
        assert!(error.kind() == FilterErrorKind::Limit, "{error}");
        assert!(error.to_string().contains(limit), "{error}");
        assert!(text.parse::<Filter>().unwrap_err().to_string().len() < 1000);
    }
}

#[test]
fn patterns_that_backtrack_elsewhere_take_linear_time() {
    let text = format!("{}!", "a".repeat(5000));
    for pattern in ["(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$"] {
        let filter = Filter::parse(&format!("off,[{{a~\"{pattern}\"}}]=info")).unwrap();
        let fields = [("a", FieldValue::Text(&text))];
        let record = Record { target: "app", level: Level::Info, fields: &fields, spans: &[] };
        // It would not come back.
        let _ = filter.explain(&record);
    }
}

#[test]
fn directives_that_never_decide_are_named() {
    let never = |text: &str| {
        let filter = Filter::parse(text).unwrap();
        let never = filter.never().into_iter();
        never.map(|(directive, reason)| format!("{directive}: {reason}")).collect::<Vec<_>>()
    };
    assert_eq!(never("info,app=debug,app=warn"), ["app=debug: the later `app=warn` replaces it"]);
    assert_eq!(never("[{n<1,n>2}]").len(), 1);
    assert_eq!(never("[{n=1,n=2}]").len(), 1);
    assert_eq!(never("[{n=a,n=b}]").len(), 1);
    assert!(never("info,app=debug,[{n>1,n<2}],[{n=1,m=2}]").is_empty());
}

#[test]
fn unknown_targets_come_with_near_ones() {
    let filter = Filter::parse("info,my_ap=debug,hyper=off,nowhere=trace").unwrap();
    let known = ["my_app::db", "hyper::client"];
    let mut unknown = filter.unknown_targets(known.into_iter());
    unknown.sort();
    assert_eq!(unknown, [("my_ap", vec!["my_app"]), ("nowhere", vec![])]);
}
