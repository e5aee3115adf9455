//! A host that loads the plugin, uses it from several threads, and unloads it again.

#![cfg(unix)]
#![expect(unsafe_code, reason = "a library is loaded, and what it exports is called")]
#![expect(clippy::unwrap_used, reason = "a failed test may say so")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::{Path, PathBuf};

/// The plugin, loaded; dropping it unloads it.
struct Plugin {
    handle: *mut c_void,
    start: unsafe extern "C" fn(*const c_char) -> bool,
    work: extern "C" fn(u64, u64),
    stop: extern "C" fn() -> i64,
}

impl Plugin {
    fn load() -> Self {
        let path = CString::new(library().to_str().unwrap()).unwrap();
        // SAFETY: its initialisers are those of Rust's standard library.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{path:?}");
        let symbol = |name: &CStr| {
            // SAFETY: the handle is one.
            let symbol = unsafe { libc::dlsym(handle, name.as_ptr()) };
            assert!(!symbol.is_null(), "{name:?}");
            symbol
        };
        // SAFETY: the plugin exports functions of these types under these names.
        unsafe {
            Self {
                handle,
                start: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*const c_char) -> bool,
                >(symbol(c"plugin_start")),
                work: std::mem::transmute::<*mut c_void, extern "C" fn(u64, u64)>(symbol(
                    c"plugin_work",
                )),
                stop: std::mem::transmute::<*mut c_void, extern "C" fn() -> i64>(symbol(
                    c"plugin_stop",
                )),
            }
        }
    }

    fn start(&self, path: &Path) {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a zero.
        assert!(unsafe { (self.start)(path.as_ptr()) });
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // SAFETY: its telemetry is shut down and nobody is inside.
        assert_eq!(unsafe { libc::dlclose(self.handle) }, 0);
    }
}

/// Cargo puts the library beside the tests that need it.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name =
        format!("{}telemetry_plugin{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let folders = test.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(&name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not beside {}", test.display()))
}

/// How often each line that is no metric stands in a file, by its kind and what it says.
fn tally(path: &Path) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["kind"] == "metric" {
            continue; // telemetry's own
        }
        let fields = &line["fields"];
        let says = match (&fields["message"], &fields["number"]) {
            (Value::String(message), Value::Null) => message.clone(),
            (Value::String(message), number) => format!("{message} {number}"),
            (_, number) => number.to_string(),
        };
        *tally.entry(format!("{}: {says}", line["kind"].as_str().unwrap())).or_default() += 1;
    }
    tally
}

#[test]
fn plugin_is_loaded_used_and_unloaded_twice_and_has_all_its_records() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let file = folder.path().join(format!("{round}.jsonl"));
        let plugin = Plugin::load();
        plugin.start(&file);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let work = plugin.work;
                scope.spawn(move || work(thread * 100, 100));
            }
        });
        (plugin.work)(400, 100);
        assert_eq!((plugin.stop)(), 0);
        assert_eq!((plugin.stop)(), -1, "it does not run any more");
        drop(plugin);
        let mut found = tally(&file);
        for number in 0..500 {
            for line in [
                format!("log: worked {number}"),
                format!("log: worked on {number}"),
                format!("span: {number}"),
            ] {
                assert_eq!(found.remove(&line), Some(1), "{line}, round {round}");
            }
        }
        assert_eq!(found, BTreeMap::new(), "round {round}");
    }
}
