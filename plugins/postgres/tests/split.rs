//! A table that several sessions read at once is the table that one reads.

use crate::postgres::catalog;
use crate::postgres::connect::{Pace, Session};
use crate::postgres::split;
use crate::postgres::tests::memory::Memory;
use crate::postgres::tests::server::{TestServer, chain};
use crate::{Capture, Interrupt, SnapshotOptions};

/// Makes a table that is just large enough, whose statistics know neither its first rows nor its last.
fn large(server: &TestServer) {
    server.sql("postgres", "CREATE DATABASE app TEMPLATE template0");
    server.sql(
        "app",
        "CREATE TABLE t (x text, \"i d\" int PRIMARY KEY); ALTER TABLE t ALTER x SET STORAGE PLAIN; \
         INSERT INTO t SELECT repeat(i::text, 900), i FROM generate_series(-20000, 55000) i; ANALYZE t; \
         INSERT INTO t SELECT 'early', i FROM generate_series(-20500, -20001) i; \
         INSERT INTO t VALUES ('first', -2147483648), ('last', 2147483647); \
         DELETE FROM t WHERE \"i d\" BETWEEN 100 AND 3000; CREATE TABLE small (id int PRIMARY KEY)",
    );
}

fn snapshot(server: &TestServer, n_sessions: usize) -> Memory {
    let memory = Memory::default();
    let unit = server.container(&format!("connections = {n_sessions}")).open("app").unwrap();
    let taken = unit.snapshot(&memory, &SnapshotOptions::default());
    taken.unwrap_or_else(|error| panic!("{}", chain(&error)));
    memory
}

fn n_ranges(server: &TestServer) -> usize {
    let session = Session::open(&server.inner(), "app", Pace::Data).unwrap();
    let tables = catalog::tables(&session).unwrap();
    let table = tables.iter().find(|table| table.name == "t").unwrap();
    let size_bytes = catalog::size_bytes(&session, table).unwrap();
    split::ranges(&session, table, size_bytes).unwrap().map_or(0, |ranges| ranges.len())
}

#[test]
fn a_table_read_in_ranges_has_the_same_digest() {
    let server = TestServer::start();
    large(&server);
    assert!(n_ranges(&server) >= 4);
    let at_once = snapshot(&server, 1);
    for n_sessions in [2, 3, 9] {
        assert_eq!(at_once.differences(&snapshot(&server, n_sessions)), [""; 0]);
    }
    // The number of rows is in a file of its own, which is the same too; so no row is missing or there twice.
    assert!(at_once.identity().len() > 2);
}

#[test]
fn without_use_a_table_is_read_at_once() {
    let server = TestServer::start();
    large(&server);
    // In an order by the key, each page would be read many times.
    server.sql("app", "CREATE TABLE u (LIKE t INCLUDING ALL); INSERT INTO u SELECT * FROM t ORDER BY md5(\"i d\"::text)");
    server.sql("app", "DROP TABLE t; ALTER TABLE u RENAME TO t");
    assert_eq!(n_ranges(&server), 0);
    server.sql("app", "ANALYZE t");
    assert_eq!(n_ranges(&server), 0);
}

#[test]
fn a_full_disk_ends_the_reading_of_ranges() {
    let server = TestServer::start();
    large(&server);
    let mut memory = Memory::default();
    memory.full_after_bytes = Some(5 << 20);
    let error = server.unit("app").snapshot(&memory, &SnapshotOptions::default()).unwrap_err();
    assert!(chain(&error).contains("no storage space"), "{}", chain(&error));
}

#[test]
fn a_lost_server_ends_the_reading_of_ranges() {
    let server = TestServer::start();
    large(&server);
    let stop = || server.control(&["stop", "-m", "immediate"]);
    let capture = Disturbed { act: &stop, memory: Memory::default() };
    assert!(server.unit("app").snapshot(&capture, &SnapshotOptions::default()).is_err());
}

/// Does something when the first rows come.
struct Disturbed<'a> {
    act: &'a (dyn Fn() + Sync),
    memory: Memory,
}

impl Capture for Disturbed<'_> {
    fn content(&self, cut: crate::Cut) -> std::io::Result<Box<dyn crate::ContentWriter + '_>> {
        if cut == crate::Cut::Rows {
            (self.act)();
        }
        self.memory.content(cut)
    }
    fn entry(&self, entry: crate::tree::Entry) -> std::io::Result<()> {
        self.memory.entry(entry)
    }
    fn attribute(&self, name: &str, value: &str) -> std::io::Result<()> {
        self.memory.attribute(name, value)
    }
    fn warn(&self, warning: &str) {
        self.memory.warn(warning);
    }
    fn previous(&self) -> std::io::Result<Option<crate::Previous<'_>>> {
        Ok(None)
    }
    fn hint(&self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_interrupt_ends_the_reading_of_ranges() {
    let server = TestServer::start();
    large(&server);
    let interrupt = Interrupt::default();
    let context = crate::Context { interrupt: interrupt.clone(), ..crate::Context::default() };
    let unit = server.container_in("", &context).open("app").unwrap();
    let capture = Disturbed { act: &|| interrupt.raise(), memory: Memory::default() };
    let ended = unit.snapshot(&capture, &SnapshotOptions::default());
    assert!(matches!(ended, Err(crate::Error::Interrupted)), "{ended:?}");
}

#[test]
fn an_interrupt_is_no_missing_tool() {
    let server = TestServer::start();
    server.sql("postgres", "CREATE DATABASE app TEMPLATE template0");
    let interrupt = Interrupt::default();
    interrupt.raise();
    let context = crate::Context { interrupt, ..crate::Context::default() };
    let unit = server.container_in("", &context).open("app").unwrap();
    let ended = unit.snapshot(&Memory::default(), &SnapshotOptions::default());
    assert!(matches!(ended, Err(crate::Error::Interrupted)), "{ended:?}");
}
