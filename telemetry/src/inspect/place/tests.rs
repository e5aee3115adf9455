//! Which places are taken, and which are refused with what words.

use super::*;

const SETTING: &str = "TELEMETRY_INSPECT";

fn refused(path: &Path) -> String {
    bind(&Place::Path(path.to_owned()), SETTING).unwrap_err().to_string()
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn socket_is_the_users_alone_and_gone_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let bound = bind(&Place::Path(path.clone()), SETTING).unwrap();
    assert_eq!(mode_of(&path), 0o600);
    drop(bound);
    assert!(!path.exists());
}

#[test]
fn in_a_directory_the_socket_has_the_number_of_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let bound = bind(&Place::Path(folder.path().to_owned()), SETTING).unwrap();
    let name = format!("telemetry-{}.sock", std::process::id());
    assert_eq!(bound.path(), folder.path().join(name));
}

#[test]
fn what_is_meant_as_a_switch_is_no_path() {
    for text in ["1", "TRUE", "on", "0"] {
        let right = "but must be `auto`, `off`, or a path with a `/` in it";
        assert_eq!(refused(Path::new(text)), format!("`{SETTING}` is `{text}`, {right}"));
    }
}

#[test]
fn path_that_is_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(&folder.path().join("x".repeat(108)));
    assert!(error.starts_with("`TELEMETRY_INSPECT` is `"), "{error}");
    assert!(error.contains("but must be at most 107 bytes long"), "{error}");
}

#[test]
fn directory_that_everybody_may_write_to_is_refused_unless_it_is_sticky() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let path = folder.path().join("x.sock");
    let error = refused(&path);
    assert!(error.contains("not everybody may write to"), "{error}");
    assert!(error.ends_with("has mode 777"), "{error}");
    assert!(!path.exists());
    fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
    assert!(bind(&Place::Path(path), SETTING).is_ok());
}

#[test]
fn directory_that_is_not_there_is_refused() {
    let error = refused(Path::new("/no/such/directory/x.sock"));
    assert!(error.ends_with("but must be in a directory that exists"), "{error}");
}

#[test]
fn file_that_is_no_socket_is_left_alone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "precious").unwrap();
    let error = refused(file.path());
    assert!(error.contains("a file that is no socket"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    symlink(file.path(), &link).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(refused(&link).contains("a file that is no socket"));
    // A link in a directory of this user alone is one of ours; what it leads to stays.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    assert!(bind(&Place::Path(link), SETTING).is_ok());
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "precious");
}

#[test]
fn socket_of_a_process_that_lives_is_left_alone_and_a_stale_one_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Path(folder.path().join("x.sock"));
    let _bound = bind(&place, SETTING).unwrap();
    let error = bind(&place, SETTING).unwrap_err().to_string();
    let expected = format!("a path of its own: process {} listens there", std::process::id());
    assert!(error.ends_with(&expected), "{error}");
    // As after SIGKILL: nobody listens, the file stays.
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    assert!(bind(&Place::Path(stale), SETTING).is_ok());
}

#[test]
fn off_is_no_place_and_auto_the_users() {
    let place = |text: &str| Place::of(OsStr::new(text));
    assert_eq!((place("off"), place("Auto")), (None, Some(Place::Auto)));
    assert_eq!(place("/x"), Some(Place::Path("/x".into())));
}

#[test]
fn users_directory_is_made_private_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("telemetry");
    make_private(&directory, SETTING).unwrap();
    assert_eq!(mode_of(&directory), 0o700);
    make_private(&directory, SETTING).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let error = make_private(&directory, SETTING).unwrap_err().to_string();
    assert!(error.contains("must be a directory of this user alone"), "{error}");
}
