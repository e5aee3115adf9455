//! The buffer against a model, and across threads.

use super::*;
use crate::record::{Header, Kind, Value};
use crate::sync::Arc;
use proptest::prelude::*;
use std::collections::VecDeque;

struct Never;

impl Refill for Never {
    fn wait_for_room(&self, _: &Pool, _: Size, _: &Shared) -> bool {
        false
    }
    fn sealed(&self) {}
}

struct Spin;

impl Refill for Spin {
    fn wait_for_room(&self, pool: &Pool, size: Size, _: &Shared) -> bool {
        while !pool.charge(size) {
            std::thread::yield_now();
        }
        true
    }
    fn sealed(&self) {}
}

fn header(number: u64) -> Header {
    Header {
        kind: Kind::Event,
        flags: 0,
        epoch: 0,
        callsite: 1,
        sinks: 1,
        ticks: number,
        trace_high: 0,
        trace_low: 0,
        span_id: 0,
    }
}

fn write(producer: &Producer, number: u64, length: usize) -> bool {
    let text = "x".repeat(length);
    producer.write(&header(number), |writer| {
        // Several values, so that a record grows while it is written.
        writer.u64(0, number);
        for part in text.as_bytes().chunks(10_000) {
            writer.str(1, std::str::from_utf8(part).unwrap_or_default());
        }
    })
}

fn take(consumer: &mut Consumer) -> Option<(u64, usize)> {
    let record = consumer.peek()?;
    let mut fields = record.fields();
    let Some(Value::U64(number)) = fields.next().map(|field| field.value) else {
        panic!("the record lost its number")
    };
    let text: usize = fields
        .map(|field| match field.value {
            Value::Str(text) => text.len(),
            _ => 0,
        })
        .sum();
    let length = record.bytes().len();
    consumer.take(length);
    Some((number, text))
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Take(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = prop_oneof![0..200_usize, 0..60_000_usize].prop_map(Step::Write);
    prop::collection::vec(prop_oneof![3 => write, 1 => (0..10_usize).prop_map(Step::Take)], 0..200)
}

proptest! {
    #[test]
    fn buffer_behaves_as_a_queue_that_counts_what_it_refuses(steps in steps()) {
        let pool = Arc::new(Pool::new(512 * 1024));
        let producer = Producer::new(Arc::clone(&pool), Arc::new(Never), Owner::default()).unwrap();
        let shared = Arc::clone(producer.shared());
        let mut model = VecDeque::new();
        let (mut number, mut accepted, mut refused) = (0_u64, 0_u64, 0_u64);
        for step in steps {
            match step {
                Step::Write(length) => {
                    number += 1;
                    if write(&producer, number, length) {
                        model.push_back((number, length));
                        accepted += 1;
                    } else {
                        refused += 1;
                    }
                }
                Step::Take(count) => {
                    for _ in 0..count {
                        let taken = take(&mut shared.consumer());
                        prop_assert_eq!(taken, model.pop_front());
                    }
                }
            }
            let consumer = shared.consumer();
            prop_assert_eq!(consumer.committed(), accepted);
            prop_assert_eq!(consumer.committed() - consumer.taken(), model.len() as u64);
        }
        prop_assert_eq!(accepted + refused, number);
        drop(producer);
        while let Some(expected) = model.pop_front() {
            prop_assert_eq!(take(&mut shared.consumer()), Some(expected));
        }
        prop_assert!(shared.is_closed() && take(&mut shared.consumer()).is_none());
        prop_assert!(pool.outstanding() <= 512 * 1024);
    }
}

#[test]
fn full_buffer_refuses_until_half_empty_and_keeps_what_it_has() {
    let pool = Arc::new(Pool::new(64 * 1024));
    let producer = Producer::new(Arc::clone(&pool), Arc::new(Never), Owner::default()).unwrap();
    let shared = Arc::clone(producer.shared());
    let mut accepted = 0_u64;
    while write(&producer, accepted, 100) {
        accepted += 1;
    }
    assert!(!write(&producer, accepted, 0), "drop state refuses small records too");
    let mut taken = 0;
    while !write(&producer, accepted, 100) {
        assert_eq!(take(&mut shared.consumer()), Some((taken, 100)));
        taken += 1;
    }
    let sealed_again = Size::Large.data_bytes();
    assert!(pool.outstanding() <= 32 * 1024 + sealed_again);
    assert!(taken > accepted / 4, "it came back before it was half empty: {taken} of {accepted}");
    for number in taken..=accepted {
        assert_eq!(take(&mut shared.consumer()).map(|(number, _)| number), Some(number));
    }
}

#[test]
fn records_cross_threads_in_order_and_whole() {
    let pool = Arc::new(Pool::new(256 * 1024));
    let count = 200_000;
    let producer = Producer::new(Arc::clone(&pool), Arc::new(Spin), Owner::default()).unwrap();
    let shared = Arc::clone(producer.shared());
    std::thread::scope(|scope| {
        // The producer is handed to the thread before it is used.
        struct Handed(Producer);
        // SAFETY: only the new thread uses it.
        unsafe impl Send for Handed {}
        let handed = Handed(producer);
        scope.spawn(move || {
            let handed = handed;
            for number in 0..count {
                assert!(write(&handed.0, number, (number % 700) as usize));
            }
        });
        let mut expected = 0;
        while expected < count {
            match take(&mut shared.consumer()) {
                Some(taken) => {
                    assert_eq!(taken, (expected, (expected % 700) as usize));
                    expected += 1;
                }
                None => std::thread::yield_now(),
            }
        }
    });
    assert!(shared.is_closed());
}

#[test]
fn all_memory_is_given_back() {
    let pool = Arc::new(Pool::new(1024 * 1024));
    for _ in 0..50 {
        let producer = Producer::new(Arc::clone(&pool), Arc::new(Never), Owner::default()).unwrap();
        for number in 0..1_000 {
            assert!(write(&producer, number, 200));
        }
        drop(producer);
    }
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn a_reused_chunk_starts_counting_anew() {
    let pool = Arc::new(Pool::new(1024 * 1024));
    let first = Producer::new(Arc::clone(&pool), Arc::new(Never), Owner::default()).unwrap();
    let shared = Arc::clone(first.shared());
    for number in 0..500 {
        assert!(write(&first, number, 100));
    }
    while take(&mut shared.consumer()).is_some() {}
    drop(first);
    drop(shared);
    // The pool hands out the chunks of the buffer that is gone.
    for _ in 0..20 {
        let next = Producer::new(Arc::clone(&pool), Arc::new(Never), Owner::default()).unwrap();
        assert_eq!(next.shared().consumer().committed(), 0);
        assert!(write(&next, 1, 1));
        assert_eq!(next.shared().consumer().committed(), 1);
        assert!(take(&mut next.shared().consumer()).is_some());
    }
}
