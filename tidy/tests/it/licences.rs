//! What others' packages may be: their licences and where they come from, as `deny.toml` says.
//!
//! The same file is read by `cargo deny`, which knows more. These two rules need nothing but cargo,
//! which fetches the packages of other systems that are not here yet.

use serde_json::Value;
use std::process::Command;
use telemetry_tidy::root;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Every package of the workspace's tree, of all features and targets.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--all-features", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo has built this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata are JSON");
    let packages = metadata["packages"].as_array().expect("metadata have packages").clone();
    assert!(packages.len() > 100, "only {} packages were found", packages.len());
    packages
}

/// What `deny.toml` allows: to all, and to one package beside that.
struct Rules(toml::Table);

impl Rules {
    fn read() -> Self {
        let text = std::fs::read_to_string(root().join("deny.toml")).expect("`deny.toml` is there");
        let mut all: toml::Table = text.parse().expect("`deny.toml` is TOML");
        let toml::Value::Table(licences) = all.remove("licenses").expect("it has licences") else {
            panic!("`licenses` is a table");
        };
        Self(licences)
    }

    fn for_package(&self, package: &str) -> Vec<String> {
        let exceptions = self.0["exceptions"].as_array().expect("a list of exceptions").iter();
        let of_package = exceptions.filter(|one| one["crate"].as_str() == Some(package));
        let lists = std::iter::once(&self.0["allow"]).chain(of_package.map(|one| &one["allow"]));
        let names = lists.flat_map(|list| list.as_array().expect("a list of licences"));
        names.map(|name| name.as_str().expect("a name").to_owned()).collect()
    }
}

/// Does a licence expression leave a choice that is allowed?
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let Ok(parsed) = spdx::Expression::parse_mode(expression, spdx::ParseMode::LAX) else {
        return false;
    };
    parsed.evaluate(|requirement| {
        // An exception only adds to what the licence lets one do.
        let name = requirement.license.id().map(|id| id.name);
        name.is_some_and(|name| allowed.iter().any(|one| one == name))
    })
}

#[test]
fn licences_of_dependencies_are_allowed() {
    let rules = Rules::read();
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let wrong: Vec<_> = packages()
        .iter()
        .map(|package| (text(&package["name"]), text(&package["license"])))
        .filter(|(name, licence)| !is_allowed(licence, &rules.for_package(name)))
        .map(|(name, licence)| format!("{name}: {licence:?}"))
        .collect();
    assert!(wrong.is_empty(), "not allowed by `deny.toml`: {wrong:#?}");
}

#[test]
fn dependencies_come_from_the_registry_or_the_workspace() {
    let wrong: Vec<_> = packages()
        .iter()
        .filter(|package| package["source"].as_str().is_some_and(|source| source != REGISTRY))
        .map(|package| format!("{}: {}", package["name"], package["source"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn licence_without_an_allowed_choice_is_refused() {
    let allowed = ["MIT".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("GPL-3.0-only", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}
