//! `telemetry doctor`: does everything that a program is built of speak to the same facades?
//!
//! Incompatible versions of a facade (`metrics` 0.23 and 0.24) stand in one program without a word of
//! the compiler, each with a global recorder of its own. What goes through the one that nobody
//! listens to is lost, and nothing in the process can tell. The lock file can.

use crate::Answer;
use clap::Args;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// How many users of a version are named.
const USERS_NAMED_MAX: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The lock file; by default that of this folder, or of the nearest one above that has one.
    #[arg(value_name = "Cargo.lock")]
    lock: Option<PathBuf>,
}

/// A package whose global state all users of a program have to share.
struct Facade {
    name: &'static str,
    /// The version that we listen to; `None` = those that packages of ours are built with.
    ours: Option<&'static str>,
    /// What becomes of the rest.
    effect: &'static str,
}

const FACADES: [Facade; 4] = [
    Facade {
        name: "tracing-core",
        ours: Some("0.1"),
        effect: "its spans and events do not arrive",
    },
    Facade { name: "log", ours: Some("0.4"), effect: "its records do not arrive" },
    Facade { name: "metrics", ours: Some("0.24"), effect: "its measurements do not arrive" },
    Facade {
        name: "opentelemetry",
        ours: None,
        effect: "it has providers and a current span of its own",
    },
];

/// A package of the lock file.
#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    /// As written: a name, with a version behind it where there are several.
    dependencies: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Answer {
    let Some(path) = arguments.lock.clone().or_else(nearest_lock) else {
        let text = "error: there is no `Cargo.lock` here or above: name one\n";
        return Answer::mistake(text.to_owned());
    };
    match read(&path) {
        Ok(packages) => examine(&packages),
        Err(error) => Answer::mistake(format!("error: `{}` {error}\n", path.display())),
    }
}

fn nearest_lock() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join("Cargo.lock")).find(|path| path.is_file())
}

fn read(path: &Path) -> Result<Vec<Package>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    let lock: toml::Table = text.parse().map_err(|e| format!("is not TOML: {e}"))?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let packages = packages.ok_or("has no packages: it is not a `Cargo.lock`")?;
    Ok(packages.iter().filter_map(package).collect())
}

fn package(value: &toml::Value) -> Option<Package> {
    let text = |key| value.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let dependencies = value.get("dependencies").and_then(toml::Value::as_array);
    let dependencies = dependencies.into_iter().flatten();
    Some(Package {
        name: text("name")?,
        version: text("version")?,
        dependencies: dependencies.filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
    })
}

fn examine(packages: &[Package]) -> Answer {
    let (mut output, mut errors) = (String::new(), String::new());
    for facade in &FACADES {
        let named = |package: &&Package| package.name == facade.name;
        let mut found: Vec<&Package> = packages.iter().filter(named).collect();
        found.sort_by_key(|package| numbers(&package.version));
        let ours = match facade.ours {
            Some(ours) => vec![ours.to_owned()],
            None => spoken(&found, packages),
        };
        for package in found {
            let Package { name, version, .. } = package;
            if ours.contains(&compatible(version)) {
                let _ = writeln!(output, "good: {name} {version}");
            } else {
                tell(facade, package, packages, &ours.join(" and "), &mut errors);
            }
        }
    }
    let status = if errors.is_empty() { 0 } else { 2 };
    Answer { output, errors, status }
}

/// The versions that packages of ours use, else the newest.
fn spoken(found: &[&Package], packages: &[Package]) -> Vec<String> {
    let is_ours = |package: &&&Package| {
        users(package, packages).iter().any(|user| user.starts_with("telemetry-"))
    };
    let ours: Vec<_> = found.iter().filter(is_ours).collect();
    let spoken = if ours.is_empty() { found.last().into_iter().collect() } else { ours };
    spoken.iter().map(|package| compatible(&package.version)).collect()
}

/// Names the version, what becomes of it, and who uses it.
fn tell(facade: &Facade, package: &Package, packages: &[Package], ours: &str, errors: &mut String) {
    let Package { name, version, .. } = package;
    let beside = match facade.ours {
        Some(_) => format!("telemetry-toolkit listens to {name} {ours}"),
        None => format!("{name} {ours} is there, too"),
    };
    let _ = writeln!(errors, "{name} {version}: {}; {beside}", facade.effect);
    let users = users(package, packages);
    if !users.is_empty() {
        let named = users.iter().take(USERS_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        let left_out = users.len().saturating_sub(USERS_NAMED_MAX);
        let more = if left_out > 0 { format!(" and {left_out} more") } else { String::new() };
        let _ = writeln!(errors, "  used by {named}{more}");
    }
}

/// The packages that depend on this very version.
fn users(package: &Package, packages: &[Package]) -> Vec<String> {
    let uses = |other: &&Package| {
        other.dependencies.iter().any(|dependency| {
            let mut words = dependency.split(' ');
            let (name, version) = (words.next(), words.next());
            name == Some(&package.name) && version.is_none_or(|version| version == package.version)
        })
    };
    packages.iter().filter(uses).map(|other| format!("{} {}", other.name, other.version)).collect()
}

fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '+', '-']).map(|part| part.parse().unwrap_or(0)).collect()
}

/// What versions share that Cargo takes for compatible: the first part that is not 0.
fn compatible(version: &str) -> String {
    let parts: Vec<&str> = version.split(['.', '+', '-']).collect();
    let zeros = parts.iter().take(2).take_while(|part| **part == "0").count();
    parts.iter().take(zeros + 1).copied().collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatible_versions_are_those_of_cargo() {
        for (version, expected) in [
            ("1.2.3", "1"),
            ("0.24.6", "0.24"),
            ("0.0.3", "0.0.3"),
            ("2.0.0-rc.1", "2"),
            ("0.1.36+build", "0.1"),
        ] {
            assert_eq!(compatible(version), expected);
        }
    }
}
