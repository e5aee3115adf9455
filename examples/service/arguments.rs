//! The command line.

use std::path::PathBuf;

pub(crate) struct Arguments {
    pub(crate) seconds: u64,
    pub(crate) json: PathBuf,
    no_receiver: bool,
}

impl Arguments {
    /// Reads the arguments behind the program's name.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let file = format!("telemetry-service-{}.jsonl", std::process::id());
        let json = std::env::temp_dir().join(file);
        let mut parsed = Self { seconds: 5, json, no_receiver: false };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("`{argument}` needs a value"));
            match argument.as_str() {
                "--seconds" => {
                    let text = value()?;
                    let seconds = text.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
                    parsed.seconds = seconds
                        .ok_or(format!("`--seconds` is `{text}`, but must be from 1 to 3600"))?;
                }
                "--json" => parsed.json = value()?.into(),
                "--no-receiver" => parsed.no_receiver = true,
                _ => {
                    return Err(format!(
                        "`{argument}` is none of --seconds, --json, --no-receiver"
                    ));
                }
            }
        }
        Ok(parsed)
    }

    /// Is there no other collector?
    pub(crate) fn wants_receiver(&self) -> bool {
        let endpoint = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or_default();
        !self.no_receiver && endpoint.is_empty()
    }
}
