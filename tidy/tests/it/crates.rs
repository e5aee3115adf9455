//! Directions between crates: core knows no sibling, siblings know only core.

use std::process::Command;
use telemetry_tidy::{Manifest, root, tracked};

/// How many packages the core may need at run time, itself included: it is in everybody's build.
const CORE_TREE_MAX: usize = 22;

/// Packages whose types belong to a protocol or a destination: they stay in exporters.
const PROTOCOL: [&str; 9] = [
    "hyper",
    "hyper-util",
    "http",
    "prost",
    "tonic",
    "serde",
    "serde_json",
    "opentelemetry",
    "opentelemetry-proto",
];

fn manifests() -> Vec<Manifest> {
    let found: Vec<_> =
        tracked().iter().filter_map(Manifest::of).filter(|m| !m.name.is_empty()).collect();
    assert!(found.len() >= 8, "only {} packages were found", found.len());
    found
}

/// Which of our packages one in `folder` may use.
fn may_use(folder: &str, package: &str) -> bool {
    let is_exporter = ["console", "json", "otlp", "prometheus", "dashboard"]
        .iter()
        .any(|exporter| package == format!("telemetry-{exporter}"));
    let is_bridge =
        ["http", "opentelemetry"].iter().any(|bridge| package == format!("telemetry-{bridge}"));
    match folder {
        "telemetry-core" | "tidy" => false,
        "telemetry-poller" => package == "telemetry-core",
        "telemetry" => {
            matches!(package, "telemetry-core" | "telemetry-poller") || is_exporter || is_bridge
        }
        // They measure the parts, too.
        "benchmarks" => matches!(package, "telemetry-toolkit" | "telemetry-core") || is_exporter,
        "examples" | "telemetry-cli" => package == "telemetry-toolkit",
        "tests/cdylib" | "tests/ecosystem" | "tests/tokio_unstable" => {
            package == "telemetry-toolkit"
        }
        // Services as users have them.
        "examples/bookshelf" | "examples/migration/shop" => false,
        folder if folder.starts_with("examples/migration/") => {
            matches!(package, "telemetry-toolkit" | "migration-shop")
        }
        // Parsers of outside text, wherever they are.
        "fuzz" => matches!(package, "telemetry-core" | "telemetry-otlp" | "telemetry-toolkit"),
        folder if ["exporters/", "bridges/"].iter().any(|of| folder.starts_with(of)) => {
            package == "telemetry-core"
        }
        _ => false,
    }
}

#[test]
fn dependencies_between_crates_point_one_way() {
    let manifests = manifests();
    let ours: Vec<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    let mut wrong = Vec::new();
    for manifest in &manifests {
        let used = manifest.dependencies.iter().chain(&manifest.dev_dependencies);
        for package in used.filter(|package| ours.contains(&package.as_str())) {
            // A package may use itself, with other features, in its tests.
            if *package != manifest.name && !may_use(&manifest.folder, package) {
                wrong.push(format!("{} must not use {package}", manifest.folder));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn protocols_stay_in_exporters_and_bridges() {
    let mut wrong = Vec::new();
    for manifest in manifests() {
        // What a command prints for other programs is JSON; a bridge's other end is a library.
        let free = ["exporters/", "bridges/", "benchmarks", "examples", "telemetry-cli"];
        if free.iter().any(|folder| manifest.folder.starts_with(folder)) {
            continue;
        }
        // A snapshot is for whichever format the program has: a trait's impl, off by default.
        let is_free = |package: &str| manifest.folder == "telemetry" && package == "serde";
        let used = manifest
            .dependencies
            .iter()
            .filter(|package| PROTOCOL.contains(&package.as_str()) && !is_free(package.as_str()));
        wrong.extend(used.map(|package| format!("{} uses {package}", manifest.folder)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn core_needs_few_packages() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "telemetry-core", "-e", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--no-dedupe"])
        .current_dir(root())
        .output()
        .expect("cargo has built this test");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut packages: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    packages.sort_unstable();
    packages.dedup();
    assert!(!packages.is_empty() && packages.len() <= CORE_TREE_MAX, "{packages:#?}");
}
