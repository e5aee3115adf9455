//! A null OTLP receiver in a process of its own: reads, counts, answers 200 and keeps nothing.
//!
//! # Invariants
//!
//! - A record is counted from the protobuf structure of the body, never from a header or a request
//!   count.
//! - The receiver ends when its stdin closes.
//!
//! HTTP/1.1 only: `POST /v1/logs`, `POST /v1/traces`, `GET /counts`. A body may be gzip and may be
//! chunked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::Result;

/// `ExportLogsServiceRequest.resource_logs.scope_logs.log_records`; for traces the numbers are the
/// same.
const RECORD_PATH: [u64; 3] = [1, 2, 2];

/// The receiver's process, seen from the parent.
#[derive(Debug)]
pub(crate) struct Receiver {
    process: Child,
    address: String,
}

/// What the receiver got since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Log records.
    pub(crate) logs: u64,
    /// Spans.
    pub(crate) spans: u64,
    /// Bytes of the bodies, as sent.
    pub(crate) body_bytes: u64,
    /// Bodies that were no such message.
    pub(crate) malformed: u64,
}

impl Receiver {
    /// Starts a receiver on a free port of the loopback.
    pub(crate) fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("__receiver")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = process.stdout.take().ok_or("the receiver has no stdout")?;
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(Self { process, address: line.trim_end().to_owned() })
    }

    /// Its address as exporters want it, without a path.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks for its counts.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.write_all(b"GET /counts HTTP/1.1\r\nHost: receiver\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let counts: Value = serde_json::from_str(body)?;
        let count = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or(0);
        Ok(Counts {
            logs: count("logs"),
            spans: count("spans"),
            body_bytes: count("body_bytes"),
            malformed: count("malformed"),
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Nothing is lost where this fails: the process has ended already.
        let _ = self.process.wait();
    }
}

#[derive(Debug, Default)]
struct Totals {
    logs: AtomicU64,
    spans: AtomicU64,
    body_bytes: AtomicU64,
    malformed: AtomicU64,
}

/// Runs as the receiver until stdin closes.
pub(crate) fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let totals = Arc::new(Totals::default());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let totals = Arc::clone(&totals);
            thread::spawn(move || {
                if let Err(error) = connection(&stream, &totals) {
                    eprintln!("receiver: {error}");
                }
            });
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn connection(stream: &TcpStream, totals: &Totals) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    let mut writer = stream;
    let mut body = Vec::new();
    let mut plain = Vec::new();
    while let Some(head) = read_head(&mut reader)? {
        if head.expects_continue {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        read_body(&mut reader, &head, &mut body)?;
        let message = if head.gzip {
            plain.clear();
            GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
            &plain
        } else {
            &body
        };
        // Counts only: they publish nothing else, and are read after the sender got its answer.
        totals.body_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        let (status, answer) = respond(&head, message, totals);
        write!(
            writer,
            "HTTP/1.1 {status}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{answer}",
            if answer.is_empty() { "application/x-protobuf" } else { "application/json" },
            answer.len(),
        )?;
        if head.closes {
            break;
        }
    }
    Ok(())
}

fn respond(head: &Head, message: &[u8], totals: &Totals) -> (&'static str, String) {
    let total = match head.path.as_str() {
        "/v1/logs" => &totals.logs,
        "/v1/traces" => &totals.spans,
        "/counts" => {
            let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
            let counts = serde_json::json!({
                "logs": read(&totals.logs),
                "spans": read(&totals.spans),
                "body_bytes": read(&totals.body_bytes),
                "malformed": read(&totals.malformed),
            });
            return ("200 OK", counts.to_string());
        }
        // Ours may send metrics about itself; they are no part of any case.
        "/v1/metrics" => return ("200 OK", String::new()),
        _ => return ("404 Not Found", String::new()),
    };
    if let Some(records) = count_at(message, &RECORD_PATH) {
        total.fetch_add(records, Ordering::Relaxed);
        ("200 OK", String::new())
    } else {
        totals.malformed.fetch_add(1, Ordering::Relaxed);
        ("400 Bad Request", String::new())
    }
}

#[derive(Debug, Default)]
struct Head {
    path: String,
    length: usize,
    chunked: bool,
    gzip: bool,
    expects_continue: bool,
    closes: bool,
}

fn read_head(reader: &mut impl BufRead) -> Result<Option<Head>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).ok_or("no path in the request line")?.to_owned();
    let mut head = Head { path, ..Head::default() };
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some(head));
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse()?,
            "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
            "content-encoding" => head.gzip = value.eq_ignore_ascii_case("gzip"),
            "expect" => head.expects_continue = true,
            "connection" => head.closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}

fn read_body(reader: &mut impl BufRead, head: &Head, body: &mut Vec<u8>) -> Result<()> {
    body.clear();
    if !head.chunked {
        body.resize(head.length, 0);
        reader.read_exact(body)?;
        return Ok(());
    }
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let size = line.trim_end().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16)?;
        let begin = body.len();
        body.resize(begin + size, 0);
        reader.read_exact(&mut body[begin..])?;
        line.clear();
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// Counts the submessages at `path`, a field number a level; none where the bytes are no message.
fn count_at(mut message: &[u8], path: &[u64]) -> Option<u64> {
    let (wanted, deeper) = path.split_first()?;
    let mut count = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let skipped = match key & 7 {
            0 => {
                varint(&mut message)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (field, rest) = message.split_at_checked(skipped)?;
        message = rest;
        if key == wanted << 3 | 2 {
            count += if deeper.is_empty() { 1 } else { count_at(field, deeper)? };
        }
    }
    Some(count)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_records_two_messages_deep() {
        let scope = [0x0a, 0, 0x12, 1, 0, 0x12, 0];
        let mut message = vec![0x0a, scope.len() as u8 + 4, 0x0a, 0, 0x12, scope.len() as u8];
        message.extend(scope);
        assert_eq!(count_at(&message, &RECORD_PATH), Some(2));
    }

    #[test]
    fn a_length_past_the_end_is_no_message() {
        assert_eq!(count_at(&[0x0a, 5, 1], &RECORD_PATH), None);
    }

    #[test]
    fn padded_length_is_read() {
        assert_eq!(count_at(&[0x0a, 0x80, 0x80, 0x00], &RECORD_PATH), Some(0));
    }

    #[test]
    fn gzip_body_is_counted_and_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let message = [0x0a, 6, 0x12, 4, 0x12, 0, 0x12, 0];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&message).unwrap();
        let body = gzip.finish().unwrap();
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let length = body.len();
            write!(stream, "POST /v1/logs HTTP/1.1\r\nContent-Encoding: gzip\r\n").unwrap();
            write!(stream, "Content-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
            stream.write_all(&body).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let totals = Totals::default();
        connection(&listener.accept().unwrap().0, &totals).unwrap();
        assert!(client.join().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(totals.logs.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn chunked_body_is_joined() {
        let head = Head { chunked: true, ..Head::default() };
        let mut body = Vec::new();
        let mut bytes = &b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"[..];
        read_body(&mut bytes, &head, &mut body).unwrap();
        assert_eq!(body, b"abcde");
    }
}
