//! The part of a `Cargo.toml` that the rules are about.

use crate::tree::File;

/// What a package is called and which packages it uses.
#[derive(Debug, Default)]
pub struct Manifest {
    /// The package's name; empty for a workspace without one.
    pub name: String,
    /// Where it lies, from the root of the repository.
    pub folder: String,
    /// Names in `[dependencies]` and in those of a target.
    pub dependencies: Vec<String>,
    /// Names in `[dev-dependencies]`.
    pub dev_dependencies: Vec<String>,
}

impl Manifest {
    /// Reads a manifest; `None` if the file is none.
    pub fn of(file: &File) -> Option<Self> {
        let folder = file.path.strip_suffix("Cargo.toml")?.trim_end_matches('/').to_owned();
        let mut manifest = Self { folder, ..Self::default() };
        let mut section = "";
        for line in file.text.lines().map(str::trim) {
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']');
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let key = key.trim().split('.').next().unwrap_or_default().to_owned();
            match section.rsplit('.').next() {
                Some("package") if section == "package" && key == "name" => {
                    manifest.name = value.trim().trim_matches('"').to_owned();
                }
                Some("dependencies" | "build-dependencies")
                    if !section.starts_with("workspace") =>
                {
                    manifest.dependencies.push(key);
                }
                Some("dev-dependencies") => manifest.dev_dependencies.push(key),
                _ => {}
            }
        }
        Some(manifest)
    }
}
