//! Claims that need a process of their own, over the recorder as a layer on a `Registry`: those of
//! `tests/process`.

#[path = "../process/main.rs"]
mod process;
