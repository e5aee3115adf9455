//! A response's body, inside its request's context and span.
//!
//! # Invariants
//!
//! - It hands on what the body inside does, unchanged.
//! - A server's body that is dropped before its end means that the client went away; a client's,
//!   that the rest was not wanted.

use super::exchange::{End, Exchange, Side};
use bytes::Buf;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// A body that its request's span lasts for.
    #[derive(Debug)]
    pub struct Body<B> {
        // `None` only while it is dropped.
        #[pin]
        inner: Option<B>,
        exchange: Option<Exchange>,
        // How many bytes are still to come, where that is known.
        left: Option<u64>,
    }

    impl<B> PinnedDrop for Body<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(exchange) = this.exchange.take() else { return };
            exchange.run(|| this.inner.set(None));
            // A server that has sent as many bytes as it announced does not ask for more.
            let is_complete = *this.left == Some(0) || exchange.side == Side::Client;
            exchange.end(if is_complete { End::Complete } else { End::Cancelled });
        }
    }
}

impl<B> Body<B> {
    /// A body without a span.
    pub(super) fn new(inner: B) -> Self {
        Self { inner: Some(inner), exchange: None, left: None }
    }
}

impl<B: http_body::Body> Body<B> {
    pub(super) fn of(inner: B, exchange: Exchange) -> Self {
        let left = inner.size_hint().exact();
        Self { inner: Some(inner), exchange: Some(exchange), left }
    }
}

impl<B: http_body::Body> http_body::Body for Body<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
        let polled = match this.exchange.as_ref() {
            Some(exchange) => exchange.run(|| inner.poll_frame(context)),
            None => return inner.poll_frame(context),
        };
        let frame = ready!(polled);
        let end = match &frame {
            None => Some(End::Complete),
            Some(Err(_)) => Some(End::Failed(std::any::type_name::<B::Error>())),
            Some(Ok(frame)) => {
                let sent = frame.data_ref().map_or(0, Buf::remaining) as u64;
                *this.left = this.left.map(|left| left.saturating_sub(sent));
                None
            }
        };
        if let Some((end, exchange)) = end.and_then(|end| Some((end, this.exchange.take()?))) {
            exchange.end(end);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}

impl<B: Default> Default for Body<B> {
    fn default() -> Self {
        Self::new(B::default())
    }
}
