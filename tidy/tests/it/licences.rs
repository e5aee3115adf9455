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

fn allowed_licences() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("`deny.toml` is there");
    let rules: toml::Table = text.parse().expect("`deny.toml` is TOML");
    let allowed = rules["licenses"]["allow"].as_array().expect("it has a list of licences");
    allowed.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
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
    let allowed = allowed_licences();
    let wrong: Vec<_> = packages()
        .iter()
        .map(|package| (package["name"].to_string(), package["license"].as_str().unwrap_or("")))
        .filter(|(_, licence)| !is_allowed(licence, &allowed))
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
