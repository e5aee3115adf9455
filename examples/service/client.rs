//! Clients of the service, on threads of their own. Their HTTP library logs through `log`.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const CLIENTS: usize = 2;
/// Each client waits so long between requests: together at most 200 a second.
const PAUSE: Duration = Duration::from_millis(10);

/// What the clients have done.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// Sends requests for a while, and returns how many were answered.
pub(crate) fn run(address: SocketAddr, duration: Duration) -> Requests {
    let requests = Requests::default();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (requests, is_over) = (&requests, &is_over);
            scope.spawn(move || use_shop(&format!("http://{address}"), client, requests, is_over));
        }
        thread::sleep(duration);
        is_over.store(true, Ordering::Relaxed);
    });
    requests
}

fn use_shop(url: &str, client: usize, requests: &Requests, is_over: &AtomicBool) {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)));
    let agent: ureq::Agent = config.build().into();
    for n in (client..).step_by(CLIENTS) {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let answer = match n % 3 {
            2 => agent.get(format!("{url}/orders/{n}")).call(),
            _ => order(&agent, url, n),
        };
        // A connection is used again only when the answer was read.
        match answer.and_then(|mut answer| answer.body_mut().read_to_vec()) {
            Ok(_) => requests.answered.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                tracing::info!(error = &error as &dyn std::error::Error, "request failed");
                requests.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        thread::sleep(PAUSE);
    }
}

/// Orders something; every now and then nothing, which is refused.
fn order(
    agent: &ureq::Agent,
    url: &str,
    n: usize,
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    let body: Value = json!({ "items": n % 9 });
    let request = agent.post(format!("{url}/orders")).content_type("application/json");
    request.send(body.to_string())
}
