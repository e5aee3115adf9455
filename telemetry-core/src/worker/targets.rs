//! Looks for targets of filters that no call site has: they may be mistyped.
//!
//! # Invariants
//!
//! - They are looked for [`AFTER`] the start, and [`AFTER`] every change of the filters.
//! - A target is told of once, as long as it stays in the filters without a call site.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long a program has time to reach its call sites.
const AFTER: Duration = Duration::from_secs(60);
/// How many targets one report names.
const NAMED_MAX: usize = 8;

/// A target, and those that were probably meant.
pub(super) type Unknown = (String, Vec<String>);

/// What was looked for, and what was told.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// The number of the plan whose filters are looked at; 0 = none so far.
    plan: u32,
    due: Option<Instant>,
    told: BTreeSet<String>,
}

impl Targets {
    /// What there is to tell now; `unknown` finds the targets without a call site.
    pub(super) fn look(
        &mut self,
        now: Instant,
        plan: u32,
        unknown: impl FnOnce() -> Vec<Unknown>,
    ) -> Option<String> {
        if plan != self.plan {
            self.plan = plan;
            self.due = Some(now + AFTER);
        }
        self.due.take_if(|due| *due <= now)?;
        let unknown = unknown();
        let names: BTreeSet<String> = unknown.iter().map(|(target, _)| target.clone()).collect();
        let before = std::mem::replace(&mut self.told, names);
        let new = unknown.iter().filter(|(target, _)| !before.contains(target));
        let new: Vec<&Unknown> = new.collect();
        (!new.is_empty()).then(|| text(&new))
    }
}

/// Each target with those that were probably meant.
fn text(unknown: &[&Unknown]) -> String {
    let one = |(target, near): &&Unknown| match near.as_slice() {
        [] => format!("`{target}`"),
        near => format!("`{target}` (did you mean `{}`?)", near.join("` or `")),
    };
    let mut named: Vec<_> = unknown.iter().take(NAMED_MAX).map(one).collect();
    if unknown.len() > NAMED_MAX {
        named.push(format!("{} more", unknown.len() - NAMED_MAX));
    }
    format!("the filter names targets that no call site has shown so far: {}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn unknown(target: &str, near: &[&str]) -> Unknown {
        (target.to_owned(), near.iter().map(|near| (*near).to_owned()).collect())
    }

    #[test]
    fn unknown_targets_are_named_with_near_ones_up_to_a_limit() {
        let named = [unknown("my_ap", &["my_app", "my_api"]), unknown("x", &[])];
        let text = text(&named.iter().collect::<Vec<_>>());
        assert!(text.ends_with(": `my_ap` (did you mean `my_app` or `my_api`?), `x`"), "{text}");
        let many: Vec<_> = (0..10).map(|n| unknown(&format!("t{n}"), &[])).collect();
        let text = super::text(&many.iter().collect::<Vec<_>>());
        assert!(text.ends_with("`t7`, 2 more"), "{text}");
    }

    #[test]
    fn targets_are_told_of_once_a_minute_after_each_change() {
        let (mut targets, start) = (Targets::default(), clock::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut look = |seconds, plan, names: &[&str]| {
            let found = || names.iter().map(|name| unknown(name, &[])).collect();
            targets.look(at(seconds), plan, found)
        };
        assert_eq!(look(0, 1, &["a"]), None, "the program has time");
        assert_eq!(look(59, 1, &["a"]), None);
        assert!(look(60, 1, &["a"]).unwrap().ends_with(": `a`"));
        assert_eq!(look(300, 1, &["a"]), None, "it was told");
        assert_eq!(look(310, 2, &["a", "b"]), None, "the filters have changed");
        assert_eq!(look(360, 3, &["a", "b"]), None, "and again");
        assert!(look(420, 3, &["a", "b"]).unwrap().ends_with(": `b`"));
        assert_eq!(look(430, 4, &[]), None);
        assert_eq!(look(490, 4, &[]), None);
        assert_eq!(look(500, 5, &["a"]), None);
        assert!(look(560, 5, &["a"]).unwrap().ends_with(": `a`"), "it is back");
    }
}
