//! TLS of rustls, which logs its handshakes: a request with secrets over either version.

use crate::text_canary;
use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls::{Stream, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Of `localhost`, signed by itself, from 2020 to 2119; made by `openssl ca -selfsign`.
const CERTIFICATE: &[u8] = include_bytes!("localhost/certificate.der");
const KEY: &[u8] = include_bytes!("localhost/key.der");

/// Talks to a server within the process.
pub(crate) fn talk() {
    for version in [&TLS12, &TLS13] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let answering = std::thread::spawn(move || answer(&listener, server()));
        request(stream, client(version));
        answering.join().unwrap();
    }
}

fn server() -> ServerConnection {
    let key = PrivateKeyDer::try_from(KEY).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![CERTIFICATE.into()], key).unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

fn client(version: &'static SupportedProtocolVersion) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CERTIFICATE.into()).unwrap();
    let config = ClientConfig::builder_with_protocol_versions(&[version]);
    let config = config.with_root_certificates(roots).with_no_client_auth();
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

fn answer(listener: &TcpListener, mut server: ServerConnection) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut stream = Stream::new(&mut server, &mut stream);
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        request.extend(byte);
    }
    let cookie = text_canary("tls_cookie");
    write!(stream, "HTTP/1.1 200 OK\r\nset-cookie: {cookie}\r\n\r\n").unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
}

fn request(mut stream: TcpStream, mut client: ClientConnection) {
    let mut stream = Stream::new(&mut client, &mut stream);
    let bearer = text_canary("tls_bearer");
    write!(stream, "GET / HTTP/1.1\r\nauthorization: Bearer {bearer}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
