//! What came out: files, streams, and what a collector was sent.

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::TcpListener;
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

/// Takes every request, of HTTP/1.1 and of gRPC, and keeps its body as it is.
///
/// It is no part of the toolkit, so that what it sees is what goes over the wire.
pub(crate) struct Collector {
    port: u16,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    bodies: Vec<u8>,
    requests: usize,
    grpc_requests: usize,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::<Mutex<Received>>::default();
        let kept = Arc::clone(&received);
        // It ends with the process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve(listener, kept));
        });
        Self { port, received }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn bodies(&self) -> Vec<u8> {
        self.received.lock().unwrap().bodies.clone()
    }

    pub(crate) fn grpc_requests(&self) -> usize {
        self.received.lock().unwrap().grpc_requests
    }
}

async fn serve(listener: TcpListener, received: Arc<Mutex<Received>>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let received = Arc::clone(&received);
        let service = service_fn(move |request| answer(request, Arc::clone(&received)));
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Answer = http::Response<UnsyncBoxBody<Bytes, Infallible>>;

/// All that a request says but for its body.
fn head(request: &http::Request<Incoming>) -> String {
    let values = request.headers().values().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let values: Vec<_> = values.collect();
    format!("repeated {} {}", values.join(" "), request.uri())
}

/// A partial success of which nothing was rejected.
fn partial_success(text: &str) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let length = bytes.len() as u16;
        let length = [(length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
        [&[number << 3 | 2], &length[..], bytes].concat()
    };
    field(1, &field(2, text.as_bytes()))
}

/// It is to be sent again.
fn unavailable(is_grpc: bool, text: String) -> Answer {
    let answer = http::Response::builder();
    let (answer, body) = match is_grpc {
        true => (answer.header("grpc-status", "14").header("grpc-message", text), String::new()),
        false => (answer.status(503), text),
    };
    answer.body(Full::from(body).boxed_unsync()).unwrap()
}

/// All is well, but for the first time; each answer repeats what it was asked. For gRPC, the length
/// of the message stands before it and the status behind it.
async fn answer(
    request: http::Request<Incoming>,
    received: Arc<Mutex<Received>>,
) -> Result<Answer, hyper::Error> {
    let kind = request.headers().get("content-type").cloned();
    let is_grpc =
        kind.as_ref().is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let head = head(&request);
    let body = request.into_body().collect().await?.to_bytes();
    let mut received = received.lock().unwrap();
    received.bodies.extend_from_slice(&body);
    received.grpc_requests += usize::from(is_grpc);
    received.requests += 1;
    let mut answer = match received.requests {
        1 => unavailable(is_grpc, format!("first {head}")),
        _ => taken(is_grpc, &head),
    };
    answer.headers_mut().extend(kind.map(|kind| (http::header::CONTENT_TYPE, kind)));
    Ok(answer)
}

fn taken(is_grpc: bool, head: &str) -> Answer {
    let message = partial_success(head);
    let body = match is_grpc {
        false => Full::from(message).boxed_unsync(),
        true => {
            let trailers = http::HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )]);
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            let message = Full::from([&[0], &length[..], &message].concat());
            message.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync()
        }
    };
    http::Response::new(body)
}
