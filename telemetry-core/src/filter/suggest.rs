//! What a word was probably meant to be.
//!
//! # Invariants
//!
//! - A suggestion is never taken: it stands in an error or a diagnostic.
//! - The work for one pair of words is bounded by [`WORD_CHARS_MAX`].

/// Longer words are compared by nobody.
const WORD_CHARS_MAX: usize = 96;

/// The level that a word was probably meant to be: as long, and one letter or one swap away.
pub(super) fn level(word: &str) -> Option<&'static str> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let word = word.to_ascii_lowercase();
    LEVELS.into_iter().find(|level| {
        (level.len() > 3 && word.chars().count() + 1 >= level.len() && distance(&word, level) <= 1)
            || word.strip_suffix('s') == Some(level)
            || (*level == "warn" && word == "warning")
            || (*level == "error" && word == "err")
    })
}

/// Those of `known` that a target was probably meant to be, nearest first, at most three.
pub(super) fn near<'a>(target: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (target.chars().count() / 3).clamp(1, 4);
    let mut found: Vec<(usize, &str)> = known
        // A target is a path: what is meant may be a part of the known one's beginning.
        .flat_map(|known| {
            let ends = known.match_indices("::").map(|(at, _)| at).chain([known.len()]);
            ends.filter_map(move |end| known.get(..end))
        })
        .filter_map(|known| Some((distance(target, known), known)).filter(|(far, _)| *far <= limit))
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(3);
    found.into_iter().map(|(_, known)| known).collect()
}

/// How many letters have to be put in, taken out, replaced or swapped with their neighbour
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(WORD_CHARS_MAX + 1).collect();
    let b: Vec<char> = b.chars().take(WORD_CHARS_MAX + 1).collect();
    if a.len().max(b.len()) > WORD_CHARS_MAX {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_letters_and_swaps() {
        for (a, b, far) in
            [("info", "info", 0), ("inof", "info", 1), ("debg", "debug", 1), ("", "abc", 3)]
        {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
        assert_eq!(distance(&"x".repeat(1000), "x"), usize::MAX);
    }

    #[test]
    fn near_targets_are_found_by_their_beginning() {
        let known = ["my_app::db::pool", "hyper::client", "my_app::web"];
        assert_eq!(near("my_ap", known.into_iter()), ["my_app"]);
        assert_eq!(near("hyperr", known.into_iter()), ["hyper"]);
        assert!(near("tokio", known.into_iter()).is_empty());
    }
}
