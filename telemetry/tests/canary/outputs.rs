//! What came out: files, streams, and what a collector was sent.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Outputs by name; bytes that are no text are left out of them.
#[derive(Debug, Default)]
pub(crate) struct Outputs(BTreeMap<String, String>);

impl Outputs {
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let mut outputs = Self::default();
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            outputs.add(&name, &std::fs::read(entry.path()).unwrap());
        }
        outputs
    }

    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_owned(), String::from_utf8_lossy(bytes).into_owned());
    }

    pub(crate) fn count(&self, output: &str, text: &str) -> usize {
        self.0[output].matches(text).count()
    }

    /// The surroundings of each place where a text is found, in any output.
    pub(crate) fn places_of(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (name, output) in &self.0 {
            for (at, _) in output.match_indices(text) {
                let before: String = output[..at].chars().rev().take(80).collect();
                let before: String = before.chars().rev().collect();
                let after: String = output[at..].chars().take(60).collect();
                found.push(format!("{name}: …{before}{after}…"));
            }
        }
        found
    }
}

/// Takes every request and keeps its body as it is.
///
/// It is no part of the toolkit, so that what it sees is what goes over the wire.
pub(crate) struct Collector {
    port: u16,
    bodies: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(&stream, &kept));
            }
        });
        Self { port, bodies }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn bodies(&self) -> Vec<u8> {
        self.bodies.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, kept: &Mutex<Vec<u8>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        kept.lock().unwrap().extend_from_slice(&body);
        (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
