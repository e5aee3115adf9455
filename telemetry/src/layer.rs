//! Telemetry beside the layers of other libraries.
//!
//! # Invariants
//!
//! - Without a layer given, nothing of this is used: the recorder is the subscriber itself.

use crate::{Builder, Telemetry};
use telemetry_core::{Error, TelemetryLayer};
use tracing_subscriber::{Layer, Registry};

/// A layer of another library's.
pub(crate) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Beside other layers.
impl Builder {
    /// Adds a layer of another library's, in the order of the calls. `init` then makes a
    /// `tracing-subscriber` `Registry` with all of them and ours the global subscriber, and says
    /// so once, where it otherwise installs the recorder itself, which costs call sites less.
    ///
    /// A filter belongs to its layer (`with_filter`): one that is given alone here filters for
    /// all, ours included. The subscriber stays for the life of the process: what is given to an
    /// `init` after a shutdown is left out, with a warning.
    ///
    /// ```no_run
    /// use telemetry_toolkit::Telemetry;
    /// use tracing_subscriber::{Layer, filter::LevelFilter};
    /// # struct ErrorLayer;
    /// # impl<S: tracing::Subscriber> Layer<S> for ErrorLayer {}
    ///
    /// let telemetry = Telemetry::builder()
    ///     .from_env()
    ///     .layer(ErrorLayer.with_filter(LevelFilter::INFO))
    ///     .init()?;
    /// # drop(telemetry);
    /// # Ok::<(), telemetry_toolkit::Error>(())
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Registry> + Send + Sync + 'static,
    {
        #[cfg(feature = "opentelemetry")]
        {
            self.globals.has_foreign_tracer |= has_foreign_tracer(std::any::type_name::<L>());
        }
        self.layers.push(Box::new(layer));
        self
    }

    /// As [`init`](Self::init), for a program that builds its `tracing` subscriber itself: returns
    /// the layer to put into it.
    ///
    /// Records of the `log` crate are left to the program, too: `tracing-subscriber`'s
    /// `init` takes them over, and our layer gets them from there.
    ///
    /// ```no_run
    /// use telemetry_toolkit::Telemetry;
    /// use tracing_subscriber::layer::SubscriberExt;
    ///
    /// let (telemetry, layer) = Telemetry::builder().from_env().init_layer()?;
    /// tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
    ///     .expect("nobody has set one before");
    /// # drop(telemetry);
    /// # Ok::<(), telemetry_toolkit::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`init`](Self::init); layers were given to this builder: they belong into the subscriber.
    pub fn init_layer<S>(self) -> Result<(Telemetry, TelemetryLayer<S>), Error> {
        Ok((self.tracing(false).log(false).init()?, TelemetryLayer::new()))
    }
}

/// Is it a layer of `tracing-opentelemetry` on the tracer of another SDK? Names of types are good
/// enough for a warning, and no more.
#[cfg(feature = "opentelemetry")]
fn has_foreign_tracer(type_name: &str) -> bool {
    type_name.contains("tracing_opentelemetry::") && !type_name.contains("LayerTracer")
}
