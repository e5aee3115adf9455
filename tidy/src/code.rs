//! Rust code without what a rule about code must not see.
//!
//! Not a parser: it knows comments, literals and braces, which is enough for `rustfmt`ed code.

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `fn`, from 1.
    pub line: usize,
    /// Its lines from `fn` to the closing brace that are neither empty nor comments.
    pub lines: usize,
}

/// Leaves comments and the text of literals out; lines stay where they are.
pub fn strip(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match skipped(bytes, at) {
            Some(end) => {
                let literal = bytes[at] != b'/';
                code.push_str(if literal { "\"\"" } else { "" });
                code.extend(text[at..end].chars().filter(|c| *c == '\n'));
                end
            }
            None => {
                let length = text[at..].chars().next().map_or(1, char::len_utf8);
                code.push_str(&text[at..at + length]);
                at + length
            }
        };
        at = end;
    }
    code
}

/// Where the comment or literal ends that begins at `at`, if one does.
fn skipped(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => Some(at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(after_block_comment(bytes, at)),
        [b'"', ..] => Some(after_string(bytes, at + 1)),
        [b'\'', ..] => after_char(bytes, at + 1),
        [b'r', b'"' | b'#', ..] if !is_word(bytes, at) => after_raw_string(bytes, at + 1),
        _ => None,
    }
}

/// Does the byte before `at` belong to a name? `br"…"` and `cr"…"` are strings all the same.
fn is_word(bytes: &[u8], at: usize) -> bool {
    let word = |n: usize| {
        at.checked_sub(n).is_some_and(|n| bytes[n].is_ascii_alphanumeric() || bytes[n] == b'_')
    };
    word(1) && (word(2) || !matches!(bytes[at - 1], b'b' | b'c'))
}

fn after_block_comment(bytes: &[u8], begin: usize) -> usize {
    let mut depth = 0;
    let mut at = begin;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

fn after_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// `'a'` and `'\n'` are literals, `'a` is a lifetime.
fn after_char(bytes: &[u8], at: usize) -> Option<usize> {
    let end = match bytes.get(at)? {
        b'\\' => at + 2 + bytes.get(at + 2..)?.iter().position(|b| *b == b'\'')?,
        first => at + char_length(*first),
    };
    (bytes.get(end) == Some(&b'\'')).then_some(end + 1)
}

/// How many bytes a character has, by its first one.
fn char_length(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

fn after_raw_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    let hashes = bytes[at..].iter().take_while(|b| **b == b'#').count();
    at += hashes;
    if bytes.get(at) != Some(&b'"') {
        return None; // a raw name: `r#type`
    }
    let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let found = bytes[at + 1..].windows(end.len()).position(|window| window == end)?;
    Some(at + 1 + found + end.len())
}

/// Leaves out the items under `#[cfg(test)]`; lines stay where they are. Takes stripped code.
pub fn without_tests(code: &str) -> String {
    let mut left = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = ["#[cfg(test", "#[cfg(all(test"].iter().filter_map(|a| rest.find(a)).min()
    {
        let end = at + item_length(&rest[at..]);
        left.push_str(&rest[..at]);
        left.extend(rest[at..end].chars().filter(|c| *c == '\n'));
        rest = &rest[end..];
    }
    left + rest
}

/// The length of an item: up to its closing brace, or the semicolon before any brace.
fn item_length(code: &str) -> usize {
    let (mut braces, mut brackets) = (0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '[' | '(' => brackets += 1,
            ']' | ')' => brackets -= 1,
            '{' => braces += 1,
            '}' => braces -= 1,
            _ => {}
        }
        if braces == 0 && (c == '}' || (c == ';' && brackets == 0)) {
            return at + 1;
        }
    }
    code.len()
}

/// How many lines of stripped code are not empty.
pub fn code_lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// The functions with a body in stripped code.
pub fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let begins = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let name: String =
            code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !begins || name.is_empty() {
            continue;
        }
        let length = item_length(&code[at..]);
        let body = &code[at..at + length];
        if body.ends_with('}') {
            let line = code[..at].matches('\n').count() + 1;
            found.push(Function { name, line, lines: code_lines(body) });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_left_out_and_lines_stay() {
        let text = concat!(
            "a // left \"\n/* x\n /* y */ */ b \"c // \\\" d\" ",
            "'e' '\\'' '\"' &'f r#\"g\"h\"# r#type",
        );
        assert_eq!(strip(text), "a \n\n b \"\" \"\" \"\" \"\" &'f \"\" r#type");
    }

    #[test]
    fn items_under_cfg_test_are_left_out_and_lines_stay() {
        let code = concat!(
            "fn a() {}\n#[cfg(test)]\nmod tests;\n",
            "#[cfg(all(test, loom))]\nmod b { fn c() {} }\nfn d() {}",
        );
        assert_eq!(without_tests(code), "fn a() {}\n\n\n\n\nfn d() {}");
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let code = "trait T { fn a(b: [u8; 2]); }\nfn c() {\n\n    if d { e() }\n}\nlet f: fn (g);";
        assert_eq!(functions(code), [Function { name: "c".to_owned(), line: 2, lines: 3 }]);
    }
}
