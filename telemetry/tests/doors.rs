//! The doors to look through: a socket and a signal.
//!
//! Each test runs itself as a child, because a process has one pipeline and one environment.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a failed test may say so")]

use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output};
#[cfg(target_os = "linux")]
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use telemetry_toolkit::{Builder, client, task};

const CHILD: &str = "TELEMETRY_TEST_CHILD";

/// The folder that the parent gave to this child; `None` = it is the parent.
fn given_folder() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD).map(Into::into)
}

/// Runs a test of this file in a process of its own, with a folder of its own.
fn run(test: &str, folder: &Path, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, folder);
    command.env("XDG_RUNTIME_DIR", folder).env_remove("RUST_LOG");
    command.env_remove("TELEMETRY_INSPECT").envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
    output
}

fn parent(test: &str) {
    run(test, tempfile::tempdir().unwrap().path(), &[]);
}

fn builder() -> Builder {
    telemetry_toolkit::builder()
        .no_console()
        .exit_hook(false)
        .poll_period(Duration::from_millis(50))
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition never came true");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Are all places for clients taken?
fn is_turned_away(socket: &Path) -> bool {
    let answer = client::ask(socket, None, "config text");
    answer.is_err_and(|error| error.to_string().ends_with("too many clients at once, try again"))
}

fn snapshot(socket: &Path) -> Value {
    serde_json::from_str(&client::ask(socket, None, "snapshot json").unwrap()).unwrap()
}

#[test]
fn socket_answers_and_is_gone_after_the_shutdown() {
    let Some(folder) = given_folder() else {
        return parent("socket_answers_and_is_gone_after_the_shutdown");
    };
    let socket = folder.join("x.sock");
    // Without an exporter, nobody wants the span.
    let builder = || builder().json_file(folder.join("x.jsonl"));
    let telemetry = builder().inspect_socket(&socket).init().unwrap();
    let span = tracing::info_span!("charge", order = 42).entered();
    let me = std::process::id();
    wait_until(|| snapshot(&socket)["oldest_spans"][0]["fields"]["order"] == "42");
    let text = client::ask(&socket, Some(me), "snapshot text").unwrap();
    assert!(text.contains("Oldest open spans"), "{text}");
    let config = client::ask(&socket, None, "config json").unwrap();
    assert!(config.contains(r#""setting":"inspect_socket""#), "{config}");
    for (request, part) in [("snapshot", "`text` or `json`"), ("dance", "none of `snapshot`")] {
        let error = client::ask(&socket, None, request).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let error = client::ask(&socket, Some(1), "snapshot text").unwrap_err().to_string();
    assert!(error.contains("is not believed"), "another process than was meant: {error}");
    // The number of the process leads to the socket, wherever it lies.
    assert_eq!(client::find(me).unwrap(), socket);
    // As in a container, where it has another number.
    std::os::unix::fs::symlink(&socket, folder.join("telemetry/4000000.sock")).unwrap();
    let listed = client::list().into_iter().filter(|process| process.socket == socket);
    assert_eq!(listed.map(|process| process.id).collect::<Vec<_>>(), [me]);
    drop(span);
    telemetry.shutdown();
    assert!(!socket.exists());
    assert!(client::list().iter().all(|process| process.id != me));
    let again = builder().inspect_socket(&socket).init().unwrap();
    assert!(client::ask(&socket, None, "snapshot text").is_ok());
    drop(again);
}

#[test]
fn forks_child_leaves_the_parents_socket_open() {
    let Some(folder) = given_folder() else {
        return parent("forks_child_leaves_the_parents_socket_open");
    };
    let socket = folder.join("x.sock");
    let telemetry = builder().inspect_socket(&socket).init().unwrap();
    // SAFETY: the child drops the handle, which is what this test is about, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(telemetry)));
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(dropped.is_err())) };
    }
    let mut status = -1;
    // SAFETY: `status` is ours.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child waited for a thread that it does not have");
    assert!(client::ask(&socket, None, "snapshot text").is_ok());
    telemetry.shutdown();
    assert!(!socket.exists());
}

#[test]
fn clients_that_stand_still_harm_nobody() {
    let Some(folder) = given_folder() else {
        return parent("clients_that_stand_still_harm_nobody");
    };
    let socket = folder.join("x.sock");
    let telemetry = builder().inspect_socket(&socket).init().unwrap();
    // None of them ever reads; every other one never writes either.
    let idle: Vec<_> = (0..20)
        .map(|n| {
            let mut client = UnixStream::connect(&socket).unwrap();
            if n % 2 == 0 {
                let _ = client.write_all(b"snapshot text\n");
            }
            client
        })
        .collect();
    let began = Instant::now();
    tracing::info!("the service goes on");
    assert!(telemetry.flush(Duration::from_secs(30)).is_ok());
    assert!(began.elapsed() < Duration::from_secs(30));
    // Whoever is turned away hears why.
    let more = std::cell::RefCell::new(idle);
    wait_until(|| {
        more.borrow_mut().push(UnixStream::connect(&socket).unwrap());
        is_turned_away(&socket)
    });
    drop(more);
    wait_until(|| client::ask(&socket, None, "snapshot text").is_ok());
    // What is no request is not answered, and the connection ends.
    let mut garbage = UnixStream::connect(&socket).unwrap();
    let _ = garbage.write_all(&[0xff; 100_000]);
    let _ = garbage.read_to_end(&mut Vec::new());
    wait_until(|| client::ask(&socket, None, "snapshot text").is_ok());
    telemetry.shutdown();
}

/// Opens a span of 4 KiB and stays in it until the channel ends.
#[cfg(target_os = "linux")]
fn crowd(end: &Receiver<()>) {
    let long = "x".repeat(250);
    let text = long.as_str();
    let _span = tracing::info_span!(
        "crowd",
        a = text,
        b = text,
        c = text,
        d = text,
        e = text,
        f = text,
        g = text,
        h = text,
        i = text,
        j = text,
        k = text,
        l = text,
        m = text,
        n = text,
        o = text,
        p = text,
    )
    .entered();
    let _ = end.recv();
}

#[cfg(target_os = "linux")]
#[test]
fn clients_that_never_read_are_given_up() {
    const CROWD: usize = 60;
    let Some(folder) = given_folder() else {
        return parent("clients_that_never_read_are_given_up");
    };
    let socket = folder.join("x.sock");
    let builder = builder().inspect_socket(&socket).json_file(folder.join("x.jsonl"));
    let telemetry = builder.init().unwrap();
    std::thread::scope(|scope| {
        // They end when this closure does, also if it panics.
        let _ends: Vec<_> = (0..CROWD)
            .map(|_| {
                let (end, wait) = sync_channel(0);
                scope.spawn(move || crowd(&wait));
                end
            })
            .collect();
        // More than the kernel keeps for a reader (`net.core.wmem_default`, 208 KiB).
        wait_until(|| {
            let length = client::ask(&socket, None, "snapshot text").unwrap().len();
            assert!(length <= 256 * 1024, "{length}");
            length > 208 * 1024
        });
        let deaf = std::cell::RefCell::new(Vec::new());
        let add_deaf = || {
            let mut client = UnixStream::connect(&socket).unwrap();
            // One that is turned away may find that out in here.
            let _ = client.write_all(b"snapshot text\n");
            deaf.borrow_mut().push(client);
        };
        wait_until(|| {
            add_deaf();
            // For longer than an answer takes that is read.
            (0..10).all(|_| {
                std::thread::sleep(Duration::from_millis(20));
                is_turned_away(&socket)
            })
        });
        tracing::info!("the service goes on");
        telemetry.flush(Duration::from_secs(30)).unwrap();
        wait_until(|| client::ask(&socket, None, "config text").is_ok());
        drop(deaf);
    });
    assert!(telemetry.shutdown().is_complete());
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_waits_for_a_socket_that_has_no_room_for_more() {
    use std::os::fd::AsRawFd;
    let Some(folder) = given_folder() else {
        return parent("nobody_waits_for_a_socket_that_has_no_room_for_more");
    };
    let directory = folder.join("telemetry");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
    // Of a process that is gone, and whose child listens on.
    let busy = directory.join("4000000.sock");
    let listener = UnixListener::bind(&busy).unwrap();
    // SAFETY: two numbers. From now on, one may wait.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let connect = || telemetry_core::peer::connect(&busy).ok();
    let waiting: Vec<_> = std::iter::from_fn(connect).take(100).collect();
    assert!(waiting.len() < 100);

    let error = builder().inspect_socket(&busy).init().unwrap_err().to_string();
    let end = "but must be a path of its own: another process listens there, and is busy";
    assert!(error.ends_with(end), "{error}");
    let telemetry = builder().inspect_socket("auto").init().unwrap();
    assert!(busy.exists(), "somebody listens there");
    let is_listed = |id| client::list().iter().any(|process| process.id == id);
    assert!(is_listed(4_000_000) && is_listed(std::process::id()));
    let soon = Duration::from_millis(100);
    let error = client::ask_within(soon, &busy, None, "snapshot text").unwrap_err().to_string();
    assert!(error.ends_with("has not answered within 0.1 s: is its process stopped?"), "{error}");
    telemetry.shutdown();
    drop(waiting);
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_there_until_it_is_asked_for() {
    let Some(folder) = given_folder() else {
        return parent("nothing_is_there_until_it_is_asked_for");
    };
    let has_thread = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.map(|task| std::fs::read_to_string(task.path().join("comm")));
        // The kernel keeps 15 bytes of a name.
        names.flatten().any(|name| ["telemetry-inspe", "telemetry-signa"].contains(&name.trim()))
    };
    let telemetry = builder().from_env().init().unwrap();
    assert!(!has_thread());
    assert!(std::fs::read_dir(&folder).unwrap().next().is_none(), "no file, no directory");
    assert!(client::list().iter().all(|process| process.id != std::process::id()));
    let error = client::find(std::process::id()).unwrap_err().to_string();
    assert!(error.ends_with("start it with `TELEMETRY_INSPECT=auto`"), "{error}");
    telemetry.shutdown();
    let telemetry = builder().inspect_socket("auto").init().unwrap();
    // A thread names itself, and leaves the kernel's list soon after it was waited for.
    wait_until(has_thread);
    telemetry.shutdown();
    wait_until(|| !has_thread());
}

/// Runs a closure on a thread that acts for another user; only root can.
#[cfg(target_os = "linux")]
fn as_user<T: Send>(user: libc::uid_t, run: impl FnOnce() -> T + Send) -> T {
    let become_and_run = move || {
        // SAFETY: three numbers; without the C library, the call changes this thread alone.
        let failed = unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) };
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
        run()
    };
    std::thread::scope(|scope| scope.spawn(become_and_run).join().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn other_users_are_neither_answered_nor_believed() {
    const TEST: &str = "other_users_are_neither_answered_nor_believed";
    const NOBODY: libc::uid_t = 65534;
    let Some(folder) = given_folder() else { return parent(TEST) };
    if !std::fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0) {
        // Whoever is not root cannot become another user to try it.
        return;
    }
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(&folder, 0o755);
    let socket = folder.join("x.sock");
    let telemetry = builder().inspect_socket(&socket).init().unwrap();
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    let ask = |socket: &Path| {
        let asked = || client::ask(socket, None, "snapshot text");
        as_user(NOBODY, asked).unwrap_err()
    };
    let error = format!("{:?}", ask(&socket));
    assert!(error.contains("cannot be connected to: Permission denied"), "{error}");
    // Whatever the file's mode is.
    set_mode(&socket, 0o666);
    let error = ask(&socket).to_string();
    assert!(error.ends_with("answers: this user is not answered"), "{error}");
    let me = std::process::id();
    let error = as_user(NOBODY, || client::find(me)).unwrap_err().to_string();
    let start = format!("process {me} of user 0 has no inspect socket, or one that user {NOBODY}");
    assert!(error.starts_with(&start), "{error}");

    // And a socket that somebody else has put there.
    set_mode(&folder, 0o777);
    let theirs = folder.join("theirs.sock");
    let listener = as_user(NOBODY - 1, || UnixListener::bind(&theirs)).unwrap();
    set_mode(&theirs, 0o666);
    let error = ask(&theirs).to_string();
    let end = format!("belongs to process {me} of user {}, who is not believed", NOBODY - 1);
    assert!(error.ends_with(&end), "{error}");
    drop(listener);
    telemetry.shutdown();
}

#[test]
fn signal_that_cannot_be_handled_is_an_error() {
    if given_folder().is_none() {
        return parent("signal_that_cannot_be_handled_is_an_error");
    }
    for signal in [libc::SIGKILL, libc::SIGSEGV, 0, -1, 4711] {
        let error = builder().inspect_signal(signal).init().unwrap_err().to_string();
        assert!(error.contains(&signal.to_string()), "{error}");
    }
    assert!(builder().init().is_ok(), "nothing of it stays");
}

#[test]
fn stuck_runtime_is_named_from_outside() {
    let Some(folder) = given_folder() else {
        return parent("stuck_runtime_is_named_from_outside");
    };
    let socket = folder.join("x.sock");
    let telemetry = builder().inspect_socket(&socket).init().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (open, door) = std::sync::mpsc::sync_channel::<()>(0);
    let door = std::sync::Arc::new(std::sync::Mutex::new(door));
    let _inside = runtime.enter();
    for n in 0..2 {
        let door = std::sync::Arc::clone(&door);
        drop(task::spawn_named(&format!("wedge {n}"), async move {
            let _span = tracing::info_span!("wedged", n).entered();
            drop(door.lock().map(|door| door.recv()));
        }));
    }
    wait_until(|| {
        let found = snapshot(&socket);
        let suspects = found["suspects"].as_array().unwrap();
        let names = |name: &str| {
            suspects.iter().filter_map(Value::as_str).any(|text| {
                text.starts_with(&format!("task `{name}` (telemetry/tests/doors.rs:"))
                    && text.contains("has kept thread `tokio-")
            })
        };
        names("wedge 0") && names("wedge 1")
    });
    drop(open);
    telemetry.shutdown();
}

#[test]
fn bad_place_of_the_environment_is_a_warning_and_of_the_program_an_error() {
    const TEST: &str = "bad_place_of_the_environment_is_a_warning_and_of_the_program_an_error";
    if let Some(folder) = given_folder() {
        let telemetry = builder().json_file(folder.join("x.jsonl")).from_env().init();
        let strict = std::env::var_os("TELEMETRY_STRICT").is_some();
        assert_eq!(telemetry.is_err(), strict);
        if let Ok(telemetry) = telemetry {
            tracing::info!("the service goes on");
            assert!(telemetry.shutdown().is_complete());
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let open = folder.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let long = folder.path().join("x".repeat(120));
    let table = [
        (file.clone(), "a file that is no socket"),
        (open.join("x.sock"), "not everybody may write to"),
        (open, "not everybody may write to"),
        (long, "at most 107 bytes long"),
        (folder.path().join("missing/x.sock"), "in a directory that exists"),
    ];
    for (path, part) in &table {
        let variable = ("TELEMETRY_INSPECT", path.to_str().unwrap());
        let output = run(TEST, folder.path(), &[variable]);
        let errors = String::from_utf8_lossy(&output.stderr);
        let start = format!(
            "telemetry WARN TELEMETRY_INSPECT: `TELEMETRY_INSPECT` is `{}",
            folder.path().display()
        );
        assert!(errors.contains(&start) && errors.contains(part), "{errors}");
        run(TEST, folder.path(), &[variable, ("TELEMETRY_STRICT", "1")]);
        let error = builder().inspect_socket(path).init().unwrap_err().to_string();
        assert!(error.starts_with("`inspect_socket` is `") && error.contains(part), "{error}");
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
}

/// Runs a closure where there is one descriptor more than those that are open.
#[cfg(target_os = "linux")]
fn with_one_descriptor<T>(run: impl FnOnce() -> T) -> T {
    use std::os::fd::AsRawFd;
    let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `before` is ours.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut before) }, 0);
    let tight = libc::rlimit { rlim_cur: libc::rlim_t::try_from(next).unwrap() + 1, ..before };
    let set = |limit: &libc::rlimit| {
        // SAFETY: the limit is read.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) }, 0);
    };
    set(&tight);
    let result = run();
    set(&before);
    result
}

#[cfg(target_os = "linux")]
#[test]
fn socket_that_cannot_be_served_is_a_warning_of_the_environment() {
    const TEST: &str = "socket_that_cannot_be_served_is_a_warning_of_the_environment";
    const TEXT: &str = "the inspect socket cannot be served";
    if let Some(folder) = given_folder() {
        let init = |builder: Builder| with_one_descriptor(|| builder.poller(false).init());
        let socket = folder.join("program.sock");
        let error = init(builder().inspect_socket(&socket)).unwrap_err().to_string();
        assert_eq!((error.as_str(), socket.exists()), (TEXT, false));
        let telemetry = init(builder().from_env());
        if std::env::var_os("TELEMETRY_STRICT").is_some() {
            let error = telemetry.unwrap_err().to_string();
            return assert_eq!(error, format!("`TELEMETRY_INSPECT`: {TEXT}"));
        }
        let telemetry = telemetry.unwrap();
        tracing::info!("the service goes on");
        assert!(telemetry.shutdown().is_complete());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("x.sock");
    let variable = ("TELEMETRY_INSPECT", socket.to_str().unwrap());
    let output = run(TEST, folder.path(), &[variable]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains(TEXT) && errors.contains("WARN TELEMETRY_INSPECT"), "{errors}");
    run(TEST, folder.path(), &[variable, ("TELEMETRY_STRICT", "1")]);
    assert!(!socket.exists());
}

#[test]
fn signal_tells_on_standard_error_and_in_a_record() {
    const TEST: &str = "signal_tells_on_standard_error_and_in_a_record";
    let Some(folder) = given_folder() else {
        let folder = tempfile::tempdir().unwrap();
        let output = run(TEST, folder.path(), &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            errors.contains("\nOldest open spans\n") && errors.contains("order=42"),
            "{errors}"
        );
        return;
    };
    let file = folder.join("x.jsonl");
    let signal = libc::SIGUSR1;
    let telemetry = builder().json_file(&file).inspect_signal(signal).init().unwrap();
    let _span = tracing::info_span!("charge", order = 42).entered();
    telemetry.flush(Duration::from_secs(30)).unwrap();
    let kill = Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status();
    assert!(kill.unwrap().success());
    wait_until(|| {
        telemetry.flush(Duration::from_secs(30)).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told = |record: &Value| {
            let message = record["fields"]["message"].as_str().or(record["message"].as_str());
            let found = message.and_then(|text| serde_json::from_str::<Value>(text).ok());
            record["target"] == "telemetry"
                && found.is_some_and(|found| found["oldest_spans"][0]["fields"]["order"] == "42")
        };
        records.into_iter().any(|record| told(&record))
    });
}
