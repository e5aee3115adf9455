//! Runnable programs for `telemetry-toolkit`: see the folders beside `src`.
