//! The hand-off under loom: all orders in which producer and worker can meet, within a bound of
//! preemptions, with the chunks' bytes tracked as cells. Each claim is also run with a planted
//! fault, which must be found.
//!
//! A chunk holds one or two records here, so two or three records pass through every step: commit,
//! seal, link, free.

use super::{Consumer, Owner, Pool, Producer, Refill, Shared, Size};
use crate::record::{Header, Kind};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Bug, thread, with_planted};

struct Unlimited;

impl Refill for Unlimited {
    fn wait_for_room(&self, _: &Pool, _: Size, _: &Shared) -> bool {
        false
    }
    fn sealed(&self) {}
}

/// The producer belongs to one thread from here on.
struct Handed(Producer);

// SAFETY: only the thread that it is moved to uses it.
unsafe impl Send for Handed {}

fn write(producer: &Producer, number: u64) {
    let header = Header {
        kind: Kind::Event,
        flags: 0,
        epoch: 0,
        callsite: 1,
        sinks: 1,
        ticks: number,
        trace_high: 0,
        trace_low: 0,
        span_id: 0,
    };
    assert!(producer.write(&header, |_| ()), "the budget has room");
}

fn take(consumer: &mut Consumer) -> Option<u64> {
    let record = consumer.peek()?;
    let (number, length) = (record.ticks(), record.bytes().len());
    consumer.take(length);
    Some(number)
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn buffer() -> (Handed, std::sync::Arc<Shared>, Arc<Pool>) {
    let pool = Arc::new(Pool::new(1 << 20));
    let producer = Producer::new(Arc::clone(&pool), Arc::new(Unlimited), Owner::default())
        .expect("memory is there");
    let shared = Arc::clone(producer.shared());
    (Handed(producer), shared, pool)
}

/// Records arrive whole, in order, each once; sealed chunks are freed and their charge returned.
fn records_cross_in_order_and_chunks_come_back() {
    check(3, || {
        let (handed, shared, pool) = buffer();
        let producer = thread::spawn(move || {
            let handed = handed;
            for number in 1..=3 {
                write(&handed.0, number);
            }
        });
        let mut expected = 1;
        for _ in 0..2 {
            while let Some(number) = take(&mut shared.consumer()) {
                assert_eq!(number, expected);
                expected += 1;
            }
            thread::yield_now();
        }
        producer.join().expect("the producer does not panic");
        while let Some(number) = take(&mut shared.consumer()) {
            assert_eq!(number, expected);
            expected += 1;
        }
        assert_eq!(expected, 4, "every record arrives");
        assert_eq!(shared.consumer().committed(), 3);
        drop(shared);
        assert_eq!(pool.outstanding(), 0);
    });
}

/// A worker that sees the thread gone finds everything that it committed.
fn the_last_records_of_a_thread_are_read() {
    check(3, || {
        let (handed, shared, _pool) = buffer();
        let producer = thread::spawn(move || {
            let handed = handed;
            write(&handed.0, 1);
            write(&handed.0, 2);
        });
        let mut taken = 0;
        for _ in 0..3 {
            // The order of `Drain::round`: first whether it is closed, then what is there.
            let closed = shared.is_closed();
            let mut consumer = shared.consumer();
            while take(&mut consumer).is_some() {
                taken += 1;
            }
            if closed {
                assert_eq!(taken, 2, "a closed buffer read to its end is forgotten for good");
                break;
            }
            drop(consumer);
            thread::yield_now();
        }
        producer.join().expect("the producer does not panic");
    });
}

/// The target that a flush takes covers what was committed before the flush was asked for, while
/// the thread goes on writing.
fn a_flush_waits_for_everything_committed_before_it() {
    check(3, || {
        let (handed, shared, _pool) = buffer();
        let asked = Arc::new(AtomicU64::new(0));
        let producer = {
            let asked = Arc::clone(&asked);
            thread::spawn(move || {
                let handed = handed;
                write(&handed.0, 1);
                write(&handed.0, 2);
                asked.store(2, Ordering::Release);
                write(&handed.0, 3);
            })
        };
        let before = asked.load(Ordering::Acquire);
        let target = shared.consumer().committed();
        assert!((before..=3).contains(&target), "{target} of {before} committed before");
        let mut consumer = shared.consumer();
        while consumer.taken() < target {
            assert!(take(&mut consumer).is_some(), "what the target counts can be read");
        }
        drop(consumer);
        producer.join().expect("the producer does not panic");
    });
}

#[test]
fn model_records_cross_in_order_and_chunks_come_back() {
    records_cross_in_order_and_chunks_come_back();
}

#[test]
fn model_the_last_records_of_a_thread_are_read() {
    the_last_records_of_a_thread_are_read();
}

#[test]
fn model_a_flush_waits_for_everything_committed_before_it() {
    a_flush_waits_for_everything_committed_before_it();
}

#[test]
#[should_panic]
fn model_finds_an_unordered_commit() {
    with_planted(Bug::UnorderedCommit, records_cross_in_order_and_chunks_come_back);
}

#[test]
#[should_panic]
fn model_finds_a_chunk_freed_before_it_is_read() {
    with_planted(Bug::NextSeenLate, records_cross_in_order_and_chunks_come_back);
}

#[test]
#[should_panic(expected = "read to its end")]
fn model_finds_an_unordered_close() {
    with_planted(Bug::UnorderedClose, the_last_records_of_a_thread_are_read);
}

#[test]
#[should_panic(expected = "committed before")]
fn model_finds_a_chunk_linked_too_early() {
    with_planted(Bug::LinkedTooEarly, a_flush_waits_for_everything_committed_before_it);
}
