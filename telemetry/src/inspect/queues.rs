//! The lengths of watched queues as metrics.
//!
//! # Invariants
//!
//! - A queue whose length is not told in time is absent, never 0.

use std::collections::BTreeMap;
use std::time::Duration;
use telemetry_core::watch;
use telemetry_poller::{Measure, MeasureError};

/// How long the closures have time, all together.
const LIMIT: Duration = Duration::from_millis(200);
const LENGTH: &str = "telemetry.queue.length";
const CAPACITY: &str = "telemetry.queue.capacity";

/// Reads the watched queues at every poll.
///
/// - **Metrics**: `telemetry.queue.length` and `telemetry.queue.capacity`, unit `{item}`, up-down
///   counters, attribute `queue.name`; queues of one name are added up.
/// - **Source**: the closures given to [`watch`](crate::watch).
/// - **When missing**: the queue is not watched any more, has no limit (capacity), or its closure
///   panicked or did not return in time (length).
pub(crate) fn measurement() -> impl FnMut(&mut Measure) -> Result<(), MeasureError> + Send {
    move |measure| {
        let readings = watch::read(LIMIT);
        if readings.is_empty() {
            return Ok(());
        }
        let registry = measure.registry();
        registry.describe(LENGTH, "{item}", "Things that wait in a watched queue.");
        registry.describe(CAPACITY, "{item}", "What a watched queue holds at most.");
        let mut sums: BTreeMap<(&'static str, &str), i64> = BTreeMap::new();
        for reading in &readings {
            // An older length is not what the queue has now.
            let length = reading.length.filter(|_| reading.age <= LIMIT);
            for (metric, value) in [(LENGTH, length), (CAPACITY, reading.capacity)] {
                if let Some(value) = value {
                    let sum = sums.entry((metric, &reading.name)).or_default();
                    *sum = sum.saturating_add(i64::try_from(value).unwrap_or(i64::MAX));
                }
            }
        }
        for ((metric, name), sum) in sums {
            measure.up_down_counter(metric, [("queue.name", name.to_owned())], sum);
        }
        Ok(())
    }
}
