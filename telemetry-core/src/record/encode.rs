//! The values that can stand in a record.

use super::Writer;
use crate::redaction::{REDACTED, Secret};
use std::error::Error;
use std::fmt;

/// A value that can stand in a record.
///
/// Implemented for integers, floats, booleans, texts, bytes and `Option`s of them; wrap others
/// with [`Writer::formatted`] through the `?` and `%` sigils of the macros.
pub trait Encode {
    /// Writes the value under `key`.
    fn encode(&self, key: u16, writer: &mut Writer<'_>);
}

macro_rules! encode_as {
    ($($type:ty => $method:ident as $wide:ty),* $(,)?) => {$(
        impl Encode for $type {
            #[inline(always)]
            fn encode(&self, key: u16, writer: &mut Writer<'_>) {
                writer.$method(key, *self as $wide);
            }
        }
    )*};
}

encode_as!(
    i8 => i64 as i64, i16 => i64 as i64, i32 => i64 as i64, i64 => i64 as i64, isize => i64 as i64,
    u8 => u64 as u64, u16 => u64 as u64, u32 => u64 as u64, u64 => u64 as u64, usize => u64 as u64,
    f32 => f64 as f64, f64 => f64 as f64, i128 => i128 as i128, u128 => u128 as u128,
);

impl Encode for bool {
    #[inline(always)]
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        writer.bool(key, *self);
    }
}

impl Encode for str {
    #[inline(always)]
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        writer.str(key, self);
    }
}

impl Encode for String {
    #[inline]
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        writer.str(key, self);
    }
}

impl Encode for [u8] {
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        writer.bytes(key, self);
    }
}

impl Encode for fmt::Arguments<'_> {
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        writer.format_args(key, *self);
    }
}

impl Encode for dyn Error + 'static {
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        writer.error(key, self);
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    #[inline(always)]
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        (**self).encode(key, writer);
    }
}

impl<T: Encode> Encode for Option<T> {
    #[inline]
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        if let Some(value) = self {
            value.encode(key, writer);
        }
    }
}

impl Encode for std::time::Duration {
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        writer.f64(key, self.as_secs_f64());
    }
}

impl<T> Encode for Secret<T> {
    fn encode(&self, key: u16, writer: &mut Writer<'_>) {
        writer.str(key, REDACTED);
    }
}
