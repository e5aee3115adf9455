//! Names of fields whose values are secrets.
//!
//! # Invariants
//!
//! - Matching allocates nothing, takes no lock, and does not look at the value.
//! - A field is kept by its whole name: no exception opens more than the field it names.

use crate::error::Error;

/// The names whose values never leave the call site, unless the program says otherwise.
///
/// A field is meant if one of its words, or several, end with a name: `password` is meant by
/// `db.password`, `userPassword`, `DBPASSWORD` and `password_1`; `api_key` by `x-api-key`, `apiKey`
/// and `apikey`. `tokens` does not end with `token`. Words end at what is no letter or digit, at a
/// change of case and between letters and digits.
pub const DENIED: [&str; 25] = [
    "password",
    "passwords",
    "passwd",
    "pwd",
    "passphrase",
    "passcode",
    "secret",
    "secrets",
    "token",
    "jwt",
    "bearer",
    "authorization",
    "cookie",
    "cookies",
    "csrf",
    "api_key",
    "api_keys",
    "access_key",
    "private_key",
    "private_keys",
    "encryption_key",
    "signing_key",
    "credential",
    "credentials",
    "connection_string",
];

/// Words at the end of a field's name that make it tell something about a secret of [`DENIED`]
/// instead of the secret: `token_count`, `password.length`, `private_key_path`, `cookie.name`.
/// So do `has` and `is` in front: `has_password`.
pub const ABOUT: [&str; 30] = [
    "age", "arn", "at", "bucket", "budget", "capacity", "count", "enabled", "endpoint", "expired",
    "expires", "expiry", "file", "in", "kind", "len", "length", "limit", "name", "path", "present",
    "rate", "required", "size", "status", "ttl", "type", "usage", "valid", "version",
];
const ASKS: [&str; 2] = ["has", "is"];

/// How many names may be added, and how many fields kept.
pub const NAMES_MAX: usize = 256;
/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// The last place in a mask of fields, which stands for all fields from there on.
const MASK_LAST: usize = 63;

/// A list of names whose values are secrets, and the fields that are kept all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    usual: List,
    added: List,
    kept: List,
}

impl Default for Names {
    fn default() -> Self {
        let mut usual = List::default();
        DENIED.iter().for_each(|name| usual.push(normal(name)));
        Self { usual, added: List::default(), kept: List::default() }
    }
}

impl Names {
    /// Adds a name; what a field ends with does not except it.
    ///
    /// # Errors
    ///
    /// It has no letter or digit, is too long, or is one too many.
    pub(crate) fn deny(&mut self, name: &str) -> Result<(), Error> {
        self.added.add("redact_names", name)
    }

    /// Leaves the field of this very name alone.
    ///
    /// # Errors
    ///
    /// As [`Names::deny`].
    pub(crate) fn keep(&mut self, field: &str) -> Result<(), Error> {
        self.kept.add("keep_names", field)
    }

    /// Is the value of a field of this name a secret?
    pub(crate) fn denies(&self, field: &str) -> bool {
        let field = field.as_bytes();
        let is_usual = || self.usual.last_end(field).is_some_and(|end| !is_about(field, end));
        (self.added.last_end(field).is_some() || is_usual()) && !self.kept.has(field)
    }

    /// The denied ones of a callsite's fields, a bit each: see [`is_in_mask`].
    pub(crate) fn mask<S: AsRef<str>>(&self, fields: &[S]) -> u64 {
        let denied = fields.iter().enumerate().filter(|(_, field)| self.denies(field.as_ref()));
        denied.fold(0, |mask, (index, _)| mask | 1 << index.min(MASK_LAST))
    }
}

/// Is the field of this index among those of a mask?
pub(crate) fn is_in_mask(mask: u64, index: u16) -> bool {
    mask & 1 << usize::from(index).min(MASK_LAST) != 0
}

/// Names in lower case, without separators.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct List {
    names: Vec<Box<[u8]>>,
    /// What the names end with, as [`tail_with`] puts it: most words end otherwise.
    tails: Vec<u32>,
    /// Is some name shorter than a tail?
    has_short: bool,
}

impl List {
    fn push(&mut self, normal: Box<[u8]>) {
        self.has_short |= normal.len() < TAIL_LETTERS;
        self.tails.push(normal.iter().fold(0, |tail, letter| tail_with(tail, *letter)));
        self.names.push(normal);
    }

    fn add(&mut self, setting: &str, name: &str) -> Result<(), Error> {
        let normal = normal(name);
        let shown: String = name.chars().take(NAME_BYTES_MAX).collect();
        let wrong = |right: &str| Err(Error::setting(setting, &shown, right));
        if name.len() > NAME_BYTES_MAX {
            return wrong(&format!("at most {NAME_BYTES_MAX} bytes long"));
        }
        if normal.is_empty() {
            return wrong("a name with a letter or a digit");
        }
        if self.names.contains(&normal) {
            return Ok(()); // it is there already
        }
        if self.names.len() >= NAMES_MAX {
            return wrong(&format!("one of at most {NAMES_MAX} names"));
        }
        self.push(normal);
        Ok(())
    }

    /// Where the last of these names ends in a field's.
    fn last_end(&self, field: &[u8]) -> Option<usize> {
        let (mut tail, mut last_end) = (0, None);
        for (at, byte) in field.iter().enumerate().filter(|(_, byte)| is_letter(**byte)) {
            tail = tail_with(tail, *byte);
            let end = at + 1;
            if is_word_end(field, end)
                && (self.tails.contains(&tail) || self.has_short)
                && self.names.iter().any(|name| ends_with(&field[..end], name))
            {
                last_end = Some(end);
            }
        }
        last_end
    }

    /// Is one of the names the whole of a field's?
    fn has(&self, field: &[u8]) -> bool {
        let is_it = |name: &[u8]| letters(field).eq(name.iter().copied());
        self.names.iter().any(|name| is_it(name))
    }
}

/// How many letters are in a tail.
const TAIL_LETTERS: usize = 3;

/// The last letters of a name, one further.
fn tail_with(tail: u32, letter: u8) -> u32 {
    (tail << 8 | u32::from(letter.to_ascii_lowercase())) & 0xff_ff_ff
}

/// Letters and digits; what is not ASCII counts as a letter.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

/// The letters of a name, in lower case.
fn letters(name: &[u8]) -> impl DoubleEndedIterator<Item = u8> {
    let letters = name.iter().copied().filter(|byte| is_letter(*byte));
    letters.map(|byte| byte.to_ascii_lowercase())
}

fn normal(name: &str) -> Box<[u8]> {
    letters(name.as_bytes()).collect()
}

/// Do the letters of a field's name end with these?
fn ends_with(field: &[u8], normal: &[u8]) -> bool {
    let mut letters = letters(field).rev();
    normal.iter().rev().all(|wanted| letters.next() == Some(*wanted))
}

/// Does a word end before `end`, which is not 0?
fn is_word_end(field: &[u8], end: usize) -> bool {
    let last = field[end - 1];
    let next = field.get(end).copied().unwrap_or(b' ');
    if !is_letter(last) || !is_letter(next) {
        return is_letter(last);
    }
    // `apiKey`, and `APIKey`, where the word ends before the last of several capitals.
    let is_capital_of_word = field.get(end + 1).is_some_and(u8::is_ascii_lowercase);
    let is_hump = next.is_ascii_uppercase() && (!last.is_ascii_uppercase() || is_capital_of_word);
    is_hump || last.is_ascii_digit() != next.is_ascii_digit()
}

/// The words of a name, without what stands between them.
fn words(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    (1..=name.len()).filter(|end| is_word_end(name, *end)).map(move |end| {
        let word = &name[std::mem::replace(&mut start, end)..end];
        let letters = word.iter().position(|byte| is_letter(*byte)).unwrap_or(word.len());
        &word[letters..]
    })
}

/// Does a field tell something about the secret whose name ends at `end`?
fn is_about(field: &[u8], end: usize) -> bool {
    let is_one = |word: Option<&[u8]>, words: &[&str]| {
        word.is_some_and(|word| words.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(word)))
    };
    is_one(words(&field[end..]).last(), &ABOUT) || is_one(words(field).next(), &ASKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_the_words_of_a_field() {
        let names = Names::default();
        let denied = [
            "password",
            "PASSWORD",
            "db.password",
            "user_password",
            "userPassword",
            "dbpassword",
            "PGPASSWORD",
            "password1",
            "password_2",
            "password_hash",
            "passwd",
            "pwd",
            "apiKey",
            "APIKey",
            "x-api-key",
            "apikey",
            "API_KEY",
            "X-Api-Key",
            "api_key_id",
            "secret",
            "client_secret",
            "clientSecret",
            "aws_secret_access_key",
            "token",
            "access_token",
            "accessToken",
            "csrftoken",
            "X-CSRF-Token",
            "token.value",
            "authorization",
            "Authorization",
            "http.request.header.authorization",
            "proxy-authorization",
            "http.response.header.set-cookie",
            "set-cookie",
            "Set-Cookie",
            "cookie",
            "cookies",
            "private_key",
            "privateKey",
            "credential",
            "credentials",
            "id_jwt",
            "token_ö",
            "token_type_secret",
            "r#token",
            "secret_id",
            " token ",
            "grüße.token",
        ];
        for field in denied {
            assert!(names.denies(field), "{field}");
        }
    }

    #[test]
    fn other_words_and_what_is_said_about_a_secret_are_left_alone() {
        let names = Names::default();
        let kept = [
            "",
            "message",
            "user",
            "path",
            "tokens",
            "input_tokens",
            "gen_ai.usage.input_tokens",
            "token_count",
            "tokenCount",
            "token_type",
            "gen_ai.token.type",
            "token.expires_at",
            "tokenizer",
            "broken",
            "secretary",
            "password_length",
            "passwordless",
            "cookie_name",
            "cookie.name",
            "private_key_path",
            "credentials-file",
            "has_password",
            "hasPassword",
            "is_secret",
            "authorized",
            "key",
            "public_key",
            "monkey",
            "compass",
            "auth",
            "session",
            "aws.secretsmanager.secret.arn",
            "token_bucket_size",
            "_",
            "·",
        ];
        for field in kept {
            assert!(!names.denies(field), "{field}");
        }
    }

    #[test]
    fn added_names_know_no_exception_but_what_is_kept_by_its_whole_name() {
        let mut names = Names::default();
        names.deny("IBAN").unwrap();
        names.deny("user").unwrap();
        names.keep("page_token").unwrap();
        names.keep("user").unwrap();
        for field in ["iban", "customer.iban", "iban_count", "user_name", "next_page_token"] {
            assert!(names.denies(field), "{field}");
        }
        for field in ["page_token", "pageToken", "page.token", "User", "users"] {
            assert!(!names.denies(field), "{field}");
        }
    }

    #[test]
    fn limits_of_a_list_are_named() {
        let mut names = Names::default();
        for wrong in ["", "-", &"x".repeat(NAME_BYTES_MAX + 1)] {
            let error = names.deny(wrong).unwrap_err();
            assert!(error.is_setting() && error.to_string().starts_with("`redact_names` is"));
        }
        for n in 0..NAMES_MAX {
            names.keep(&format!("field_{n}")).unwrap();
        }
        names.keep("FIELD-1").expect("it is there already");
        let error = names.keep("one_more").unwrap_err().to_string();
        assert!(error.contains("256"), "{error}");
    }

    #[test]
    fn mask_has_a_bit_for_each_denied_field_and_one_for_all_the_late_ones() {
        let names = Names::default();
        assert_eq!(names.mask(&["message", "token", "n", "cookie"]), 0b1010);
        let mut fields = vec!["n"; 70];
        assert_eq!(names.mask(&fields), 0);
        fields[66] = "secret";
        let mask = names.mask(&fields);
        assert!(!is_in_mask(mask, 62) && is_in_mask(mask, 63) && is_in_mask(mask, 69));
    }
}
