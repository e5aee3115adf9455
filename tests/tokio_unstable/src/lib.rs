//! telemetry-toolkit beside tokio-console, which needs `--cfg tokio_unstable`: see `tests`.
