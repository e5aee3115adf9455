//! The record and its way off the calling thread.
