//! The future of a response, inside its request's context and span.
//!
//! # Invariants
//!
//! - A future that is dropped before it is ready ends its exchange as cancelled; what it says in
//!   its destructors belongs to the request.

use super::body::Body;
use super::exchange::{End, Exchange};
use http::Response;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// The response of a [`Server`](super::Server) or a [`Client`](super::Client).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        // `None` only while it is dropped.
        #[pin]
        inner: Option<F>,
        exchange: Option<Exchange>,
        ends: Ends,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            match this.exchange.as_ref() {
                Some(exchange) => exchange.run(|| this.inner.set(None)),
                None => this.inner.set(None),
            }
        }
    }
}

/// Where a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    WithBody,
    WithResponse,
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, exchange: Exchange, ends: Ends) -> Self {
        Self { inner: Some(inner), exchange: Some(exchange), ends }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body,
{
    type Output = Result<Response<Body<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else { return Poll::Pending };
        let output = match this.exchange.as_ref() {
            Some(exchange) => ready!(exchange.run(|| inner.poll(context))),
            None => ready!(inner.poll(context)),
        };
        let exchange = this.exchange.take();
        Poll::Ready(match output {
            Ok(response) => Ok(responded(response, exchange, *this.ends)),
            Err(error) => {
                if let Some(exchange) = exchange {
                    exchange.end(End::Failed(std::any::type_name::<E>()));
                }
                Err(error)
            }
        })
    }
}

fn responded<B: http_body::Body>(
    response: Response<B>,
    exchange: Option<Exchange>,
    ends: Ends,
) -> Response<Body<B>> {
    let (parts, body) = response.into_parts();
    let Some(mut exchange) = exchange else { return Response::from_parts(parts, Body::new(body)) };
    exchange.respond(parts.status, parts.version);
    let body = match ends {
        Ends::WithBody if !body.is_end_stream() => Body::of(body, exchange),
        _ => {
            exchange.end(End::Complete);
            Body::new(body)
        }
    };
    Response::from_parts(parts, body)
}
