//! What the service does: nested spans, events, an error now and then.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tracing::{debug, info, instrument};

static STOCK: AtomicI64 = AtomicI64::new(1_000_000);
static ORDERS: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(crate) enum OrderError {
    Nothing,
    Declined { order: u64 },
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("an order of nothing"),
            Self::Declined { order } => write!(f, "the payment of order {order} was declined"),
        }
    }
}

impl std::error::Error for OrderError {}

/// What is left.
pub(crate) fn stock() -> i64 {
    STOCK.load(Ordering::Relaxed)
}

/// Places an order of `items`, and returns its number.
#[instrument(err(level = "warn"))]
pub(crate) async fn place_order(items: u32) -> Result<u64, OrderError> {
    if items == 0 {
        return Err(OrderError::Nothing);
    }
    let order = ORDERS.fetch_add(1, Ordering::Relaxed) + 1;
    reserve(items).await;
    charge(order).await?;
    metrics::counter!("shop.orders", "outcome" => "placed").increment(1);
    info!(order, items, "order placed");
    Ok(order)
}

#[instrument(level = "debug")]
async fn reserve(items: u32) {
    let left = STOCK.fetch_sub(items.into(), Ordering::Relaxed) - i64::from(items);
    debug!(left, "reserved");
}

/// Every 50th payment is declined.
#[instrument(fields(payment.method = "card"))]
async fn charge(order: u64) -> Result<(), OrderError> {
    tokio::time::sleep(Duration::from_millis(order % 4)).await;
    if order.is_multiple_of(50) {
        metrics::counter!("shop.orders", "outcome" => "declined").increment(1);
        return Err(OrderError::Declined { order });
    }
    debug!(amount_cents = 100 + order % 900, "charged");
    Ok(())
}
