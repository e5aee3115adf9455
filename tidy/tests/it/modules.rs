//! Directions between the core's modules: each uses only those below it in `lib.rs`.

use std::collections::BTreeSet;
use telemetry_tidy::{File, rust_files, strip, without_tests};

const CORE: &str = "telemetry-core/src/";

/// The edges that point up all the same, and why.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "local",
    "recorder",
    "a thread owns a stock of free span slots, whose type is the recorder's",
)];

/// The modules in `lib.rs`, from top to bottom, and the names that it lends from them.
struct Root {
    modules: Vec<String>,
    lent: Vec<(String, String)>,
}

impl Root {
    fn read(code: &str) -> Self {
        let (mut modules, mut lent) = (Vec::new(), Vec::new());
        for line in code.lines().map(|line| line.trim().trim_end_matches(';')) {
            let line = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            if let Some(module) = line.strip_prefix("mod ") {
                modules.push(module.to_owned());
            } else if let Some((module, names)) =
                line.strip_prefix("use ").and_then(|path| path.split_once("::"))
            {
                let names = names.trim_matches(['{', '}']).split(',');
                lent.extend(names.map(|name| (name.trim().to_owned(), module.to_owned())));
            }
        }
        Self { modules, lent }
    }

    fn height(&self, module: &str) -> Option<usize> {
        self.modules.iter().position(|other| other == module)
    }

    /// The module that a name after `crate::` belongs to.
    fn owner<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let lender = self.lent.iter().find(|(lent, _)| lent == name).map(|(_, m)| m.as_str());
        lender.or_else(|| self.height(name).map(|_| name))
    }
}

/// The names that stand directly after `crate::`, in a path or in a list.
fn names_after_crate(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => names.extend(top_of_list(list)),
            None => names.extend(first_name(rest)),
        }
    }
    names
}

fn first_name(code: &str) -> Option<String> {
    let name: String =
        code.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// `a::{b, c}, d}` names `a` and `d`.
fn top_of_list(list: &str) -> Vec<String> {
    let (mut depth, mut names) = (0, Vec::new());
    names.extend(first_name(list));
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.extend(first_name(&list[at + 1..])),
            _ => {}
        }
    }
    names
}

fn module_of(file: &File) -> Option<&str> {
    let path = file.path.strip_prefix(CORE)?;
    let module = path.split('/').next()?.trim_end_matches(".rs");
    (!file.is_test() && module != "lib").then_some(module)
}

#[test]
fn core_modules_use_only_what_stands_below_them() {
    let files = rust_files();
    let lib = files.iter().find(|file| file.path == format!("{CORE}lib.rs"));
    let root = Root::read(&strip(&lib.expect("the core has a lib.rs").text));
    assert!(root.modules.len() > 20, "{:?}", root.modules);

    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::<&(&str, &str, &str)>::new());
    for file in &files {
        let Some(module) = module_of(file) else { continue };
        let height = root.height(module).expect("every folder and file is a module of lib.rs");
        let names = names_after_crate(&without_tests(&strip(&file.text)));
        for used in names.iter().filter_map(|name| root.owner(name)) {
            if root.height(used).is_some_and(|below| below >= height) {
                continue;
            }
            let exception = EXCEPTIONS.iter().find(|(from, to, _)| (*from, *to) == (module, used));
            seen.extend(exception);
            if exception.is_none() {
                wrong.push(format!(
                    "{}: `{module}` uses `{used}`, which stands above it",
                    file.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let gone: Vec<_> = EXCEPTIONS.iter().filter(|exception| !seen.contains(exception)).collect();
    assert!(gone.is_empty(), "no longer needed: {gone:#?}");
}

#[test]
fn names_after_crate_are_found_in_paths_and_lists() {
    let code = "use crate::{a::{b, c}, d}; crate::e::f(); $crate::g!();";
    let names: Vec<_> = names_after_crate(code).into_iter().collect();
    assert_eq!(names, ["a", "d", "e", "g"]);
}
