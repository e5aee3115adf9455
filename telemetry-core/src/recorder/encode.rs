//! `tracing`'s visitor over our writer: typed values go straight into the record.

use crate::record::Writer;
use std::error::Error;
use std::fmt;
use tracing_core::field::{Field, Visit};

impl Visit for Writer<'_> {
    #[inline]
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.f64(field.index() as u16, value);
    }

    #[inline]
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.i64(field.index() as u16, value);
    }

    #[inline]
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.u64(field.index() as u16, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.i128(field.index() as u16, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.u128(field.index() as u16, value);
    }

    #[inline]
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bool(field.index() as u16, value);
    }

    #[inline]
    fn record_str(&mut self, field: &Field, value: &str) {
        self.str(field.index() as u16, value);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.bytes(field.index() as u16, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.error(field.index() as u16, value);
    }

    #[inline]
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.formatted(field.index() as u16, value);
    }
}
