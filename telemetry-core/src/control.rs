//! What of a running pipeline can be changed: the filters of its exporters.
//!
//! # Invariants
//!
//! - A change is made as a whole or not at all: what is refused leaves the filters as they were.
//! - When a call returns, the change holds at every call site, for all threads. A record whose fate
//!   was decided before keeps it.
//! - Every change, its end and its refusal by somebody who cannot be told leave a record of target
//!   `telemetry`, whatever the filters say.
//! - A temporary filter stands behind its exporters' own, whatever becomes of those meanwhile. The
//!   worker ends it.

use crate::clock;
use crate::diagnostics;
use crate::error::Error;
use crate::export::Signals;
use crate::filter::{DIRECTIVES_MAX, Filter};
use crate::intake::Intake;
use crate::level::Level;
use crate::plan::{Plan, Scope};
use crate::rate_limit::RateLimit;
use crate::router::{self, Pace};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::{Duration, Instant};

/// How many temporary filters a pipeline may have at once.
pub const TEMPORARY_MAX: usize = 32;
/// The longest life of a temporary filter: 7 days.
pub const TEMPORARY_LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Who changes a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The program, through [`Filters`].
    Program,
    /// The watched filter file.
    File,
    /// A signal, at which the file was read again.
    Signal,
    /// An operator, through the inspect socket.
    Socket,
}

impl By {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::File => "file",
            Self::Signal => "signal",
            Self::Socket => "inspect socket",
        }
    }
}

/// An exporter, as far as its filter is concerned.
#[derive(Debug, Clone)]
pub(crate) struct Filtered {
    pub(crate) name: String,
    pub(crate) signals: Signals,
    /// `None` = the common filter.
    pub(crate) own: Option<Filter>,
}

/// A filter that ends by itself.
#[derive(Debug, Clone)]
struct Temporary {
    id: u64,
    filter: Filter,
    /// The exporter that it is for; `None` = all.
    exporter: Option<String>,
    ends_at: Instant,
}

impl Temporary {
    fn is_for(&self, exporter: &str) -> bool {
        self.exporter.as_deref().is_none_or(|name| name == exporter)
    }
}

/// All filters of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) common: Filter,
    pub(crate) exporters: Vec<Filtered>,
    /// How many events a call site may emit.
    limit: Option<RateLimit>,
    temporary: Vec<Temporary>,
}

impl Settings {
    pub(crate) fn new(common: Filter, exporters: Vec<Filtered>, limit: Option<RateLimit>) -> Self {
        Self { common, exporters, limit, temporary: Vec::new() }
    }

    /// What an exporter's filter is, with the temporary ones.
    fn in_effect(&self, exporter: &Filtered) -> Filter {
        let base = exporter.own.as_ref().unwrap_or(&self.common).clone();
        let temporary = self.temporary.iter().filter(|filter| filter.is_for(&exporter.name));
        temporary.fold(base, |filter, temporary| filter.with(&temporary.filter))
    }

    /// The plan of these filters.
    ///
    /// # Errors
    ///
    /// They have too many directives, all taken together.
    pub(crate) fn plan(&self, epoch: u8, before: Option<&Plan>) -> Result<Plan, Error> {
        let mut filters = Vec::new();
        for exporter in &self.exporters {
            let filter = self.in_effect(exporter);
            if filter.directives().len() > DIRECTIVES_MAX {
                let right = format!("at most {DIRECTIVES_MAX}, temporary ones included");
                return Err(Error::setting("directives", filter.directives().len(), &right));
            }
            filters.push((exporter.signals, filter));
        }
        Plan::new(epoch, filters, self.limit.clone(), before)
    }

    fn exporter(&mut self, name: &str) -> Result<&mut Filtered, Error> {
        let names: Vec<_> =
            self.exporters.iter().map(|exporter| format!("`{}`", exporter.name)).collect();
        let found = self.exporters.iter_mut().find(|exporter| exporter.name == name);
        let right = format!("one of {}", names.join(", "));
        found.ok_or_else(|| Error::setting("exporter", name, &right))
    }
}

#[derive(Debug)]
struct State {
    settings: Settings,
    plan: Arc<Plan>,
    next_id: u64,
}

/// The filters of a pipeline, and the way to change them.
#[derive(Debug)]
pub(crate) struct Control {
    intake: Arc<Intake>,
    /// Of a scoped pipeline.
    scope: OnceLock<Weak<Scope>>,
    state: Mutex<State>,
    /// Held for reading from before a change until it has been told of.
    telling: RwLock<()>,
}

impl Control {
    pub(crate) fn new(settings: Settings, plan: Arc<Plan>, intake: Arc<Intake>) -> Self {
        let state = Mutex::new(State { settings, plan, next_id: 1 });
        Self { intake, scope: OnceLock::new(), state, telling: RwLock::new(()) }
    }

    /// The pipeline is a scoped one.
    pub(crate) fn set_scope(&self, scope: &Arc<Scope>) {
        let _ = self.scope.set(Arc::downgrade(scope));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn telling(&self) -> RwLockReadGuard<'_, ()> {
        self.telling.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every change that was made has been told of: before the end of the pipeline,
    /// whose exporters are to hear of it.
    pub(crate) fn wait_until_told(&self) {
        drop(self.telling.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes the filters, and returns when that holds everywhere.
    fn change<R>(
        &self,
        edit: impl FnOnce(&mut Settings, &mut u64) -> Result<R, Error>,
    ) -> Result<R, Error> {
        // In a fork's child, any lock may be held by a thread that is not there.
        if router::is_forked() {
            return Err(not_running());
        }
        let mut state = self.state();
        let mut settings = state.settings.clone();
        let outcome = edit(&mut settings, &mut state.next_id)?;
        let plan = Arc::new(settings.plan(state.plan.epoch, Some(&state.plan))?);
        if !self.exchange(&plan) {
            return Err(not_running());
        }
        *state = State { settings, plan, next_id: state.next_id };
        drop(state);
        router::apply(Pace::Coalesced);
        Ok(outcome)
    }

    fn exchange(&self, plan: &Arc<Plan>) -> bool {
        match self.scope.get() {
            None => router::exchange(plan),
            Some(scope) => scope.upgrade().map(|scope| router::exchange_in(&scope, plan)).is_some(),
        }
    }

    /// Sets the filter of the exporters that have none of their own.
    pub(crate) fn set_common(&self, filter: &Filter, by: By) -> Result<(), Error> {
        let _telling = self.telling();
        let before =
            self.change(|settings, _| Ok(std::mem::replace(&mut settings.common, filter.clone())))?;
        let text = format!("the filter is `{}`, and was `{}`", filter.masked(), before.masked());
        audit_set(text, by, filter, Some(&before), None);
        Ok(())
    }

    fn set_own(&self, exporter: &str, filter: Option<Filter>, by: By) -> Result<(), Error> {
        let _telling = self.telling();
        let (before, now) = self.change(|settings, _| {
            let common = settings.common.clone();
            let own = &mut settings.exporter(exporter)?.own;
            let before = std::mem::replace(own, filter.clone());
            Ok((before.unwrap_or_else(|| common.clone()), filter.unwrap_or(common)))
        })?;
        let text = format!(
            "the filter of `{exporter}` is `{}`, and was `{}`",
            now.masked(),
            before.masked(),
        );
        audit_set(text, by, &now, Some(&before), Some(exporter));
        Ok(())
    }

    fn add(
        &self,
        filter: Filter,
        life: Duration,
        exporter: Option<&str>,
        by: By,
    ) -> Result<Temporary, Error> {
        if life.is_zero() || life > TEMPORARY_LIFE_MAX {
            let right = format!("more than nothing and at most {TEMPORARY_LIFE_MAX:?}");
            return Err(Error::setting("life", format_args!("{life:?}"), &right));
        }
        let _telling = self.telling();
        let added = self.change(|settings, next_id| {
            if settings.temporary.len() >= TEMPORARY_MAX {
                let right = format!("at most {TEMPORARY_MAX}");
                return Err(Error::setting("temporary filters", "more", &right));
            }
            if let Some(name) = exporter {
                settings.exporter(name)?;
            }
            let exporter = exporter.map(str::to_owned);
            let ends_at = clock::now() + life;
            let added = Temporary { id: *next_id, filter, exporter, ends_at };
            *next_id += 1;
            settings.temporary.push(added.clone());
            Ok(added)
        })?;
        // It may be asleep for longer.
        self.intake.waker.awake();
        self.intake.waker.wake();
        audit_temporary(&added, &format!("is added for {life:?}"), Some(by));
        Ok(added)
    }

    /// Takes temporary filters away, and tells of it.
    fn remove(
        &self,
        is_over: impl Fn(&Temporary) -> bool,
        why: &str,
        by: Option<By>,
    ) -> Result<bool, Error> {
        let _telling = self.telling();
        let removed = self.change(|settings, _| {
            let (over, left) =
                settings.temporary.drain(..).partition(|temporary| is_over(temporary));
            settings.temporary = left;
            Ok::<Vec<Temporary>, Error>(over)
        })?;
        removed.iter().for_each(|temporary| audit_temporary(temporary, why, by));
        Ok(!removed.is_empty())
    }

    /// When the next temporary filter ends.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.state().settings.temporary.iter().map(|temporary| temporary.ends_at).min()
    }

    /// Ends what is over; the worker calls it.
    pub(crate) fn tend(&self, now: Instant) {
        if self.due().is_none_or(|due| now < due) {
            return;
        }
        // An error: the pipeline is about to end.
        let _ = self.remove(|temporary| temporary.ends_at <= now, "has ended", None);
    }
}

fn not_running() -> Error {
    Error::not_allowed("the pipeline does not run (any more): its filters cannot be changed")
}

fn audit_set(
    text: String,
    by: By,
    filter: &Filter,
    before: Option<&Filter>,
    exporter: Option<&str>,
) {
    let mut fields = vec![("by", by.as_str().to_owned()), ("filter", filter.masked())];
    fields.extend(before.map(|before| ("filter.before", before.masked())));
    fields.extend(exporter.map(|exporter| ("exporter", exporter.to_owned())));
    let text = format!("{text} (by: {})", by.as_str());
    diagnostics::audit("filter.set", Level::Info, text, fields, None);
}

/// `by` is nobody if it has ended by itself.
fn audit_temporary(temporary: &Temporary, what: &str, by: Option<By>) {
    let Temporary { id, filter, exporter, .. } = temporary;
    let to = exporter.as_ref().map(|name| format!(" of `{name}`")).unwrap_or_default();
    let whose = by.map(|by| format!(" (by: {})", by.as_str())).unwrap_or_default();
    let text = format!("temporary filter {id}{to} {what}: `{}`{whose}", filter.masked());
    let mut fields = vec![("filter", filter.masked())];
    fields.extend(by.map(|by| ("by", by.as_str().to_owned())));
    fields.extend(exporter.as_ref().map(|exporter| ("exporter", exporter.clone())));
    diagnostics::audit("filter.temporary", Level::Info, text, fields, None);
}

/// The filters of a running pipeline: what they are, and how to change them.
///
/// Copies of it change the same filters; one may be handed to whatever serves the operators. A call
/// that changes a filter returns when every call site of every thread decides by the new one. Of
/// changes that follow each other within 5 ms only the last is put into effect: a call may wait
/// that long for its turn.
///
/// What cannot be understood or is beyond a limit leaves everything as it was. Every change is told
/// by an event of target `telemetry`, to all exporters that take logs.
///
/// ```
/// use std::time::Duration;
/// use telemetry_core::pipeline::{Pipeline, SinkBuilder};
/// use telemetry_core::testing::MemoryExporter;
///
/// let memory = MemoryExporter::new("memory");
/// let pipeline = Pipeline::builder().sink(SinkBuilder::new(memory.clone())).scoped()?;
/// let filters = pipeline.filters();
/// filters.set("warn,app=debug")?;
/// let temporary = filters.add("[request{tenant=42}]=trace", Duration::from_secs(300))?;
/// assert_eq!(filters.of("memory").unwrap(), "warn,app=debug,[request{tenant=42}]=trace".parse()?);
/// temporary.cancel()?;
/// assert!(filters.set("inof").is_err());
/// assert_eq!(filters.of("memory").unwrap(), "warn,app=debug".parse()?);
/// # pipeline.shutdown(Duration::from_secs(5));
/// # Ok::<(), telemetry_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Filters {
    /// `None` = telemetry is off.
    control: Option<Arc<Control>>,
    by: By,
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_effect = self.in_effect().into_iter();
        let texts = in_effect.map(|(exporter, filter)| (exporter, filter.masked()));
        f.debug_map().entries(texts).finish()
    }
}

impl Filters {
    pub(crate) fn new(control: &Arc<Control>) -> Self {
        Self { control: Some(Arc::clone(control)), by: By::Program }
    }

    /// Filters of nothing, for a program whose telemetry is off: they can be set, to no effect.
    pub fn off() -> Self {
        Self { control: None, by: By::Program }
    }

    /// The same, for changes that come through the inspect socket, and are told of as that.
    #[doc(hidden)]
    #[must_use]
    pub fn by_socket(self) -> Self {
        Self { by: By::Socket, ..self }
    }

    /// Sets the filter of all exporters that have none of their own.
    ///
    /// # Errors
    ///
    /// The filter cannot be understood ([`Error::excerpt`] shows the spot) or is beyond a limit;
    /// the pipeline does not run.
    pub fn set(&self, filter: &str) -> Result<(), Error> {
        let filter = filter.parse()?;
        self.with(|control| control.set_common(&filter, self.by))
    }

    /// Sets the filter of one exporter.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set); there is no exporter of this name.
    pub fn set_of(&self, exporter: &str, filter: &str) -> Result<(), Error> {
        let filter = filter.parse()?;
        self.with(|control| control.set_own(exporter, Some(filter), self.by))
    }

    /// Lets an exporter have the common filter, instead of one of its own.
    ///
    /// # Errors
    ///
    /// As [`set_of`](Self::set_of).
    pub fn unset_of(&self, exporter: &str) -> Result<(), Error> {
        self.with(|control| control.set_own(exporter, None, self.by))
    }

    /// Adds directives to the filters of all exporters, for a while: at most 7 days.
    ///
    /// They stand behind the exporters' own directives, and decide where they are more specific or
    /// as specific, also when those change meanwhile. At most [`TEMPORARY_MAX`] at once.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn add(&self, directives: &str, life: Duration) -> Result<TemporaryFilter, Error> {
        self.add_temporary(directives, life, None)
    }

    /// As [`add`](Self::add), to the filter of one exporter.
    ///
    /// # Errors
    ///
    /// As [`set_of`](Self::set_of).
    pub fn add_to(
        &self,
        exporter: &str,
        directives: &str,
        life: Duration,
    ) -> Result<TemporaryFilter, Error> {
        self.add_temporary(directives, life, Some(exporter))
    }

    fn add_temporary(
        &self,
        directives: &str,
        life: Duration,
        exporter: Option<&str>,
    ) -> Result<TemporaryFilter, Error> {
        let filter: Filter = directives.parse()?;
        let by = self.by;
        let Some(control) = &self.control else {
            let (exporter, ends_at) = (None, clock::now());
            let temporary = Temporary { id: 0, filter, exporter, ends_at };
            return Ok(TemporaryFilter { temporary, control: Weak::new(), by });
        };
        let temporary = control.add(filter, life, exporter, by)?;
        Ok(TemporaryFilter { temporary, control: Arc::downgrade(control), by })
    }

    /// The temporary filters, oldest first.
    pub fn temporary(&self) -> Vec<TemporaryFilter> {
        let Some(control) = self.running() else { return Vec::new() };
        let temporary = control.state().settings.temporary.clone();
        let control_of = || Arc::downgrade(control);
        let handle = |temporary| TemporaryFilter { temporary, control: control_of(), by: self.by };
        temporary.into_iter().map(handle).collect()
    }

    /// The exporters and their filters, temporary ones included.
    pub fn in_effect(&self) -> Vec<(String, Filter)> {
        let Some(control) = self.running() else { return Vec::new() };
        let settings = control.state().settings.clone();
        let in_effect = |exporter: &Filtered| (exporter.name.clone(), settings.in_effect(exporter));
        settings.exporters.iter().map(in_effect).collect()
    }

    /// The filter of an exporter, temporary ones included.
    pub fn of(&self, exporter: &str) -> Option<Filter> {
        self.in_effect().into_iter().find(|(name, _)| name == exporter).map(|(_, filter)| filter)
    }

    /// Without a fork's child, where the lock may be held by a thread that is not there.
    fn running(&self) -> Option<&Arc<Control>> {
        self.control.as_ref().filter(|_| !router::is_forked())
    }

    fn with(&self, change: impl FnOnce(&Control) -> Result<(), Error>) -> Result<(), Error> {
        self.control.as_ref().map_or(Ok(()), |control| change(control))
    }
}

/// Directives that were added for a while. They stay when this is dropped.
#[derive(Clone)]
pub struct TemporaryFilter {
    temporary: Temporary,
    control: Weak<Control>,
    by: By,
}

impl fmt::Debug for TemporaryFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemporaryFilter")
            .field("id", &self.id())
            .field("filter", &self.temporary.filter.masked())
            .field("exporter", &self.exporter())
            .field("left", &self.left())
            .finish()
    }
}

impl TemporaryFilter {
    /// A number that no other one of the pipeline has.
    pub fn id(&self) -> u64 {
        self.temporary.id
    }

    /// The directives.
    pub fn filter(&self) -> &Filter {
        &self.temporary.filter
    }

    /// The exporter that it was added to; `None` = all.
    pub fn exporter(&self) -> Option<&str> {
        self.temporary.exporter.as_deref()
    }

    /// How long it has to live, unless it is cancelled.
    pub fn left(&self) -> Duration {
        self.temporary.ends_at.saturating_duration_since(clock::now())
    }

    /// Ends it now; `false` if it had ended already.
    ///
    /// # Errors
    ///
    /// The pipeline does not run.
    pub fn cancel(&self) -> Result<bool, Error> {
        if router::is_forked() {
            return Err(not_running());
        }
        let Some(control) = self.control.upgrade() else { return Ok(false) };
        let id = self.id();
        if !control.state().settings.temporary.iter().any(|temporary| temporary.id == id) {
            return Ok(false);
        }
        control.remove(|temporary| temporary.id == id, "was cancelled", Some(self.by))
    }
}
