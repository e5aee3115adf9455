//! One poll after another, without thread or clock.
//!
//! # Invariants
//!
//! - Measurements run in the order they were given in; none keeps the next from running.
//! - No panic of a measurement or callback leaves [`Engine::poll`] or [`Engine::tell`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use telemetry_core::metric::Registry;

use crate::measure::{Measurement, panic_text};
use crate::report::{MeasurementInfo, PollReport, PolledValue};

/// Most values that are kept to be looked at.
const VALUES_MAX: usize = 512;

pub(crate) type Callback = Box<dyn FnMut(&PollReport) + Send>;

/// Which measurements a poll runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those that do not wait after a failure.
    Due,
    /// All: somebody asked.
    All,
}

/// The measurements, and who is told of them.
pub(crate) struct Engine {
    pub(crate) registry: Registry,
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) callbacks: Vec<Callback>,
    sequence: u64,
    callback_panics: u64,
}

impl Engine {
    pub(crate) fn new(
        registry: Registry,
        measurements: Vec<Measurement>,
        callbacks: Vec<Callback>,
    ) -> Self {
        Self { registry, measurements, callbacks, sequence: 0, callback_panics: 0 }
    }

    pub(crate) fn poll(&mut self, scope: Scope) -> PollReport {
        self.sequence += 1;
        let mut report = PollReport {
            sequence: self.sequence,
            callback_panics: self.callback_panics,
            ..PollReport::default()
        };
        for measurement in &mut self.measurements {
            if scope == Scope::Due && measurement.waits() {
                report.waiting += 1;
                continue;
            }
            let failed_before = measurement.info.consecutive_failures > 0;
            report.measured += 1;
            match measurement.poll(&self.registry) {
                Ok(observations) => {
                    report.observations += observations;
                    if failed_before {
                        report.recovered.push(measurement.info.name.clone());
                    }
                }
                Err(failure) => report.failures.push(failure),
            }
        }
        report
    }

    /// Tells the callbacks.
    pub(crate) fn tell(&mut self, report: &PollReport) {
        for callback in &mut self.callbacks {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback(report))) {
                drop(panic_text(payload));
                self.callback_panics += 1;
            }
        }
    }

    /// The values of the last runs, of all measurements.
    pub(crate) fn values(&self) -> Vec<PolledValue> {
        let values = self.measurements.iter().flat_map(|measurement| measurement.values());
        values.take(VALUES_MAX).cloned().collect()
    }

    pub(crate) fn infos(&self) -> Vec<MeasurementInfo> {
        self.measurements.iter().map(|measurement| measurement.info.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;
    use crate::measure::{Measure, MeasureError};

    type Outcome = Result<(), MeasureError>;

    fn measurement(
        name: &str,
        run: impl FnMut(&mut Measure) -> Outcome + Send + 'static,
    ) -> Measurement {
        Measurement::new(name, Box::new(run))
    }

    fn engine(measurements: Vec<Measurement>) -> Engine {
        Engine::new(Registry::new(), measurements, Vec::new())
    }

    #[test]
    fn failing_and_panicking_ones_stop_no_other() {
        let mut engine = engine(vec![
            measurement("fails", |_| Err(std::io::Error::other("gone").into())),
            measurement("panics", |_| panic!("{} boom", "big")),
            measurement("odd", |_| std::panic::panic_any(7)),
            measurement("works", |m| {
                m.gauge("load", (), 0.5);
                Ok(())
            }),
        ]);
        let report = engine.poll(Scope::Due);
        assert_eq!((report.measured, report.observations), (4, 1));
        let texts: Vec<_> = report.failures.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "measurement `fails` failed: gone");
        assert_eq!(texts[1], "measurement `panics` panicked: big boom");
        assert_eq!(texts[2], "measurement `odd` panicked: no message");
        assert_eq!(engine.registry.gauge("load", ()).value(), Some(0.5));
        assert_eq!(engine.infos()[1].last_error.as_deref(), Some("big boom"));
    }

    #[test]
    fn failing_one_is_tried_ever_more_rarely_and_never_given_up() {
        let mut engine = engine(vec![measurement("fails", |_| Err("no".into()))]);
        let ran: Vec<u64> = (1..=400)
            .filter_map(|_| {
                let report = engine.poll(Scope::Due);
                (report.measured == 1).then_some(report.sequence)
            })
            .collect();
        assert_eq!(ran, [1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 320, 384]);
        assert_eq!(engine.poll(Scope::All).measured, 1, "asked for: no wait");
        let info = &engine.infos()[0];
        assert_eq!((info.runs, info.failures, info.consecutive_failures), (13, 13, 13));
    }

    #[test]
    fn failure_is_first_once_and_recovery_is_reported() {
        let broken = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&broken);
        let mut engine = engine(vec![measurement("m", move |m| {
            if flag.load(Relaxed) {
                return Err("broken".into());
            }
            m.counter("reads", (), 7);
            Ok(())
        })]);
        assert!(engine.poll(Scope::All).failures[0].is_first());
        assert!(!engine.poll(Scope::All).failures[0].is_first());
        broken.store(false, Relaxed);
        assert_eq!(engine.poll(Scope::All).recovered[0].as_ref(), "m");
        assert_eq!(engine.poll(Scope::Due).recovered.len(), 0);
        assert_eq!(engine.registry.snapshot(0).points(), 1);
        broken.store(true, Relaxed);
        assert!(engine.poll(Scope::Due).failures[0].is_first());
        assert_eq!(engine.registry.snapshot(0).points(), 0, "what is not known is absent");
    }

    #[test]
    fn series_not_observed_again_is_removed() {
        let mut round = 0_i64;
        let mut engine = engine(vec![measurement("disks", move |m| {
            round += 1;
            for disk in round..round + 2 {
                m.up_down_counter("disk.free", [("disk", disk)], disk);
            }
            m.gauge("disk.heat", (), if round == 2 { f64::NAN } else { 1.0 });
            Ok(())
        })]);
        engine.poll(Scope::Due);
        assert_eq!(engine.registry.snapshot(0).points(), 3);
        engine.poll(Scope::Due);
        let snapshot = engine.registry.snapshot(0);
        assert_eq!(snapshot.points(), 2, "disk 1 and the heat are gone: {snapshot:?}");
        assert_eq!(engine.registry.rejected(), 1);
        assert_eq!(engine.infos()[0].series, 2);
    }

    #[test]
    fn last_values_are_those_of_measurements_that_succeeded() {
        let mut broken = false;
        let mut engine = engine(vec![
            measurement("once", move |m| {
                if std::mem::replace(&mut broken, true) {
                    return Err("gone".into());
                }
                m.gauge("load", (), 0.5);
                m.gauge("heat", (), f64::NAN);
                Ok(())
            }),
            measurement("many", |m| {
                (0..1000).for_each(|n| m.counter("reads", [("disk", n)], 7));
                Ok(())
            }),
        ]);
        engine.poll(Scope::All);
        let values = engine.values();
        assert_eq!((values.len(), &*values[0].name, &*values[1].name), (65, "load", "reads"));
        engine.poll(Scope::All);
        assert_eq!((engine.values().len(), &*engine.values()[0].name), (64, "reads"));
    }

    #[test]
    fn failed_run_writes_nothing() {
        let mut engine = engine(vec![measurement("half", |m| {
            m.gauge("a", (), 1.0);
            Err("b is gone".into())
        })]);
        engine.poll(Scope::Due);
        assert_eq!(engine.registry.snapshot(0).points(), 0);
    }

    #[test]
    fn panicking_callback_is_counted_and_the_next_still_told() {
        let mut engine = engine(Vec::new());
        let told = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&told);
        engine.callbacks.push(Box::new(|_| panic!("callback")));
        engine.callbacks.push(Box::new(move |_| flag.store(true, Relaxed)));
        let report = engine.poll(Scope::Due);
        engine.tell(&report);
        assert!(told.load(Relaxed));
        assert_eq!(engine.poll(Scope::Due).callback_panics, 1);
    }

    #[test]
    fn error_is_told_with_its_sources() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("cannot ask the pool")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let fails = |_: &mut Measure| Err(Outer(std::io::Error::other("closed")).into());
        let report = engine(vec![measurement("pool", fails)]).poll(Scope::Due);
        assert_eq!(report.failures[0].error, "cannot ask the pool: closed");
    }
}
