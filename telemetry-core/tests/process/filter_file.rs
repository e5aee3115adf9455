//! The filter file, and SIGHUP: with real files, links and signals.

use super::{LONG, assert_delivered, assert_done};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use telemetry_core::batch::Batch;
use telemetry_core::clock;
use telemetry_core::export::{Ack, Exporter, Outcome};
use telemetry_core::pipeline::{Filters, Pipeline, SinkBuilder};
use telemetry_core::testing::MemoryExporter;

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("telemetry-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// As a ConfigMap is mounted: the file is a link into a folder that is a link itself, and is
    /// replaced as a whole.
    fn mount(&self, version: &str, text: Option<&str>) {
        let folder = self.0.join(version);
        std::fs::create_dir(&folder).unwrap();
        if let Some(text) = text {
            std::fs::write(folder.join("filter"), text).unwrap();
        }
        let (new, data) = (self.0.join("..new"), self.0.join("..data"));
        symlink(version, &new).unwrap();
        std::fs::rename(new, data).unwrap();
        let _ = symlink("..data/filter", self.file());
    }

    fn file(&self) -> PathBuf {
        self.0.join("filter")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = clock::now() + LONG;
    while !holds() {
        assert!(clock::now() < deadline, "{what} does not come");
        std::thread::yield_now();
    }
}

fn wait_for_filter(filters: &Filters, filter: &str) {
    let expected = filter.parse().unwrap();
    wait_until(filter, || filters.of("memory").as_ref() == Some(&expected));
}

/// How often the file was complained about, with these words.
fn complaints(memory: &MemoryExporter, words: &str) -> usize {
    let events = memory.events();
    let texts = events.iter().filter_map(|event| event.message());
    texts.filter(|text| text.contains("is left out") && text.contains(words)).count()
}

fn attach(file: &Path) -> (Pipeline, MemoryExporter) {
    let memory = MemoryExporter::new("memory");
    let builder = super::builder().filter("warn".parse().unwrap()).filter_file(file);
    (builder.sink(SinkBuilder::new(memory.clone())).attach().unwrap(), memory)
}

pub(crate) fn follows() {
    let folder = Folder::new("follows");
    folder.mount("one", Some("# what is mounted\ndebug\nhyper=off\n"));
    let (pipeline, memory) = attach(&folder.file());
    let filters = pipeline.filters();
    assert_eq!(filters.of("memory").unwrap(), "debug,hyper=off".parse().unwrap(), "at the start");
    folder.mount("two", Some("trace"));
    wait_for_filter(&filters, "trace");
    for (version, text, words) in [
        ("three", Some("info,app=debgu"), "debgu"),
        ("four", Some("# nothing left\n"), "empty"),
        ("five", None, "cannot read"),
    ] {
        folder.mount(version, text);
        wait_until(words, || complaints(&memory, words) > 0);
        assert_eq!(filters.of("memory").unwrap(), "trace".parse().unwrap(), "{words}");
    }
    folder.mount("six", Some("info,app=debug"));
    wait_for_filter(&filters, "info,app=debug");
    for words in ["debgu", "empty", "cannot read"] {
        assert_eq!(complaints(&memory, words), 1, "{words}");
    }
    assert_delivered(&pipeline.shutdown(LONG));
    let events = memory.events();
    let excerpt = events.iter().find_map(|event| {
        event.fields.iter().find(|(key, _)| key == "excerpt").map(|(_, value)| format!("{value:?}"))
    });
    assert!(excerpt.unwrap().contains("^^^^^ did you mean `debug`?"));
}

#[test]
fn filter_file_is_followed_through_links_and_bad_ones_are_left_out() {
    assert_done("filter_file");
}

pub(crate) fn comes_later() {
    let folder = Folder::new("later");
    let (pipeline, memory) = attach(&folder.file());
    let filters = pipeline.filters();
    assert_eq!(filters.of("memory").unwrap(), "warn".parse().unwrap());
    // In place, as an editor writes it.
    std::fs::write(folder.file(), "info").unwrap();
    wait_for_filter(&filters, "info");
    std::fs::write(folder.file(), "off").unwrap();
    wait_for_filter(&filters, "off");
    // Beside a temporary filter that leaves no room, it has to wait.
    let many =
        |prefix: &str| (0..40).map(|n| format!("[{prefix}{n}]=info")).collect::<Vec<_>>().join(",");
    let temporary = filters.add(&many("a"), LONG).unwrap();
    // At once: a file that is read while it is written is read twice.
    let written = folder.file().with_extension("new");
    std::fs::write(&written, many("b")).unwrap();
    std::fs::rename(&written, folder.file()).unwrap();
    wait_until("a complaint", || complaints(&memory, "64") > 0);
    assert!(temporary.cancel().unwrap());
    wait_for_filter(&filters, &many("b"));
    assert_delivered(&pipeline.shutdown(LONG));
    assert_eq!(complaints(&memory, "64"), 1);
}

#[test]
fn filter_file_may_come_later_and_wait_for_room() {
    assert_done("filter_file_later");
}

struct Reopening(Arc<AtomicUsize>);

impl Exporter for Reopening {
    fn name(&self) -> &str {
        "reopening"
    }

    fn export(&mut self, _: Batch, ack: Ack) {
        ack.finish(Outcome::Delivered);
    }

    fn reopen(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) fn hangup() {
    let folder = Folder::new("hangup");
    std::fs::write(folder.file(), "info").unwrap();
    let (memory, reopened) = (MemoryExporter::new("memory"), Arc::new(AtomicUsize::new(0)));
    let pipeline = super::builder()
        .filter_file(folder.file())
        .reload_at_hangup(true)
        .sink(SinkBuilder::new(memory.clone()))
        .sink(SinkBuilder::new(Reopening(Arc::clone(&reopened))))
        .attach()
        .unwrap();
    let filters = pipeline.filters();
    // What the program sets stays, until somebody wants the file to be read.
    filters.set("error").unwrap();
    let send = || {
        // SAFETY: a process may signal itself.
        unsafe { libc::kill(libc::getpid(), libc::SIGHUP) };
    };
    send();
    wait_for_filter(&filters, "info");
    wait_until("the call", || reopened.load(Ordering::SeqCst) == 1);
    assert_delivered(&pipeline.shutdown(LONG));
    send(); // nobody listens any more, and the process goes on
    let told: Vec<_> =
        memory.events().iter().filter_map(|e| e.message().map(str::to_owned)).collect();
    assert_eq!(
        told,
        [
            "the filter is `error`, and was `info` (by: program)",
            "the filter is `info`, and was `error` (by: signal)",
        ],
    );
}

#[test]
fn hangup_reads_the_filter_file_again_and_reopens_files() {
    assert_done("hangup");
}
