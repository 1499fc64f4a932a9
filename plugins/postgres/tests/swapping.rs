//! Snapshots and swaps while clients work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::postgres::connect::{Pace, Session};
use crate::postgres::tests::round_trip::{restore, tag};
use crate::postgres::tests::server::{TestServer, chain};
use crate::{Error, RestoreOptions, Standing};

/// A swap takes half a second; slow machines get ten times that.
const SWAP_SECONDS_MAX: u64 = 10;

fn bank(server: &TestServer) {
    server.sql("postgres", "CREATE DATABASE bank TEMPLATE template0 ENCODING 'UTF8'");
    server.sql(
        "bank",
        "CREATE TABLE accounts (id int PRIMARY KEY, branch int, amount int); \
         CREATE TABLE branches (id int PRIMARY KEY, amount int); CREATE TABLE history (delta int); \
         INSERT INTO accounts SELECT i, i % 5, 0 FROM generate_series(0, 4999) i; \
         INSERT INTO branches SELECT i, 0 FROM generate_series(0, 4) i",
    );
}

const TRANSFER: &str = "DO $$ DECLARE a int := random() * 4999; d int := random() * 100; BEGIN \
    UPDATE accounts SET amount = amount + d WHERE id = a; \
    UPDATE branches SET amount = amount + d WHERE id = a % 5; INSERT INTO history VALUES (d); END $$";

const IS_BALANCED: &str = "SELECT (SELECT sum(amount) FROM accounts) = (SELECT sum(amount) FROM branches) \
    AND (SELECT sum(amount) FROM accounts) = (SELECT coalesce(sum(delta), 0) FROM history)";

#[test]
fn a_snapshot_under_load_is_one_point_in_time() {
    let server = TestServer::start();
    bank(&server);
    let stop = AtomicBool::new(false);
    let snapshots = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let session = Session::open(&server.inner(), "bank", Pace::Data).unwrap();
                session.batch("SET search_path = public").unwrap();
                while !stop.load(Ordering::Relaxed) {
                    session.batch(TRANSFER).unwrap();
                }
            });
        }
        let snapshots = [server.snapshot("bank"), server.snapshot("bank")];
        stop.store(true, Ordering::Relaxed);
        snapshots
    });
    assert_ne!(snapshots[0].differences(&snapshots[1]), [""; 0], "there was no load");
    for snapshot in &snapshots {
        restore(&server, "bank", snapshot);
        assert_eq!(server.sql("bank", IS_BALANCED), "t");
        server.unit("bank").release(&tag()).unwrap();
    }
}

#[test]
fn a_swap_under_fire_takes_moments_and_can_be_undone() {
    let server = TestServer::start();
    bank(&server);
    let before = server.snapshot("bank");
    server.sql("bank", "UPDATE branches SET amount = 7");
    let unit = server.unit("bank");
    let swap = unit.stage(&before, &tag(), &RestoreOptions::default()).unwrap();
    assert_eq!(unit.standing(&swap).unwrap(), Standing::Before);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(session) = Session::open(&server.inner(), "bank", Pace::Data) else {
                        continue;
                    };
                    while !stop.load(Ordering::Relaxed) && session.batch("SELECT 1").is_ok() {
                        thread::yield_now();
                    }
                }
            });
        }
        let idle = Session::open(&server.inner(), "bank", Pace::Data).unwrap();
        idle.batch("BEGIN; UPDATE public.accounts SET amount = 1").unwrap();
        for (act, standing) in
            [("swap", Standing::After), ("unswap", Standing::Before), ("swap", Standing::After)]
        {
            let started = Instant::now();
            for _ in 0..2 {
                // The second time it does nothing.
                let done = if act == "swap" { unit.swap(&swap) } else { unit.unswap(&swap) };
                done.unwrap_or_else(|error| panic!("{}", chain(&error)));
            }
            assert!(started.elapsed() < Duration::from_secs(SWAP_SECONDS_MAX));
            assert_eq!(unit.standing(&swap).unwrap(), standing);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(server.sql("bank", "SELECT sum(amount) FROM branches"), "0");
    unit.unswap(&swap).unwrap();
    assert_eq!(server.sql("bank", "SELECT sum(amount) FROM branches"), "35");
    unit.release(&tag()).unwrap();
    unit.release(&tag()).unwrap();
    assert_eq!(server.databases(), "bank postgres template0 template1");
}

#[test]
fn a_prepared_transaction_blocks_the_swap_and_nothing_changes() {
    let server = TestServer::start();
    bank(&server);
    let before = server.snapshot("bank");
    let unit = server.unit("bank");
    let swap = unit.stage(&before, &tag(), &RestoreOptions::default()).unwrap();
    server.sql("bank", "BEGIN; DELETE FROM history; PREPARE TRANSACTION 'held'");
    let error = unit.swap(&swap).unwrap_err();
    assert!(
        matches!(error, Error::Refused { .. }) && error.to_string().contains("\"held\""),
        "{error}"
    );
    assert_eq!(unit.standing(&swap).unwrap(), Standing::Before);
    server.sql("bank", "ROLLBACK PREPARED 'held'");
    unit.swap(&swap).unwrap();
}

#[test]
fn a_database_that_somebody_else_replaced_is_left_alone() {
    let server = TestServer::start();
    bank(&server);
    let before = server.snapshot("bank");
    let unit = server.unit("bank");
    let swap = unit.stage(&before, &tag(), &RestoreOptions::default()).unwrap();
    server.sql("postgres", "DROP DATABASE bank");
    server.sql("postgres", "CREATE DATABASE bank");
    assert_eq!(unit.standing(&swap).unwrap(), Standing::Foreign);
    assert!(matches!(unit.swap(&swap), Err(Error::Refused { .. })));
    assert!(matches!(unit.unswap(&swap), Err(Error::Refused { .. })));
}

#[test]
fn a_state_restored_where_there_was_none_has_nothing_to_put_back() {
    let server = TestServer::start();
    bank(&server);
    let before = server.snapshot("bank");
    server.unit("bank").collect_garbage().unwrap();
    let swap = restore(&server, "bank", &before);
    assert!(matches!(server.unit("bank").unswap(&swap), Err(Error::NothingDisplaced)));
}

#[test]
fn a_database_with_a_subscription_can_be_released() {
    let server = TestServer::start();
    bank(&server);
    server.sql(
        "bank",
        "CREATE SUBSCRIPTION sub CONNECTION 'host=/nonexistent dbname=x' PUBLICATION p WITH (connect = false)",
    );
    let before = server.snapshot("bank");
    restore(&server, "bank", &before);
    server.unit("bank").release(&tag()).unwrap();
    assert_eq!(server.databases(), "bank postgres template0 template1");
    assert_eq!(server.sql("bank", "SELECT subname, subenabled FROM pg_subscription"), "sub|f");
}
