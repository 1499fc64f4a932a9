//! The state of the demonstration: how it is made, wrecked and told apart.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use plugins::tree::Digest;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use crate::cli::failure::{Failure, Result};

const N_CUSTOMERS: u32 = 500;
const N_ORDERS: u32 = 5000;
const N_UPLOADS: u32 = 24;

const TABLES: &str = "
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY,
        customer INTEGER NOT NULL REFERENCES customers (id),
        cents INTEGER NOT NULL
    );
    CREATE INDEX orders_by_customer ON orders (customer);";

/// A database and a directory of uploads.
pub(super) struct Shop {
    database: PathBuf,
    uploads: PathBuf,
}

/// A file that no snapshot had before the restore.
pub(super) struct Upload {
    pub(super) name: String,
    pub(super) content: String,
}

impl Shop {
    /// Makes the shop in an empty folder.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let shop = Self { database: folder.join("shop.db"), uploads: folder.join("uploads") };
        shop.fill_database().map_err(|source| shop.database_failure("make", source))?;
        shop.fill_uploads().map_err(Failure::file("write to", &shop.uploads))?;
        Ok(shop)
    }

    /// Returns where the database is.
    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    /// Returns where the uploads are.
    pub(super) fn uploads(&self) -> &Path {
        &self.uploads
    }

    fn fill_database(&self) -> rusqlite::Result<()> {
        let mut connection = Connection::open(&self.database)?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        for id in 1..=N_CUSTOMERS {
            let name = format!("Customer {id}");
            transaction.execute("INSERT INTO customers VALUES (?1, ?2)", params![id, name])?;
        }
        for id in 1..=N_ORDERS {
            let row = params![id, 1 + id * 7 % N_CUSTOMERS, id * 7919 % 100_000];
            transaction.execute("INSERT INTO orders VALUES (?1, ?2, ?3)", row)?;
        }
        transaction.commit()
    }

    fn fill_uploads(&self) -> io::Result<()> {
        let invoices = self.uploads.join("invoices");
        fs::create_dir_all(&invoices)?;
        for number in 1..=N_UPLOADS {
            let path = invoices.join(format!("{number:03}.txt"));
            fs::write(&path, format!("Invoice {number}\n").repeat(50))?;
        }
        let secret = self.uploads.join("key.pem");
        fs::write(&secret, "not for everybody\n")?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
        symlink(format!("invoices/{N_UPLOADS:03}.txt"), self.uploads.join("latest"))
    }

    /// Does what a bad migration does.
    pub(super) fn wreck(&self) -> Result<()> {
        let wreck = || -> rusqlite::Result<()> {
            let connection = Connection::open(&self.database)?;
            connection.execute_batch("DROP TABLE orders; DELETE FROM customers WHERE id > 100")
        };
        wreck().map_err(|source| self.database_failure("wreck", source))?;
        let wreck = || -> io::Result<()> {
            for number in 1..=N_UPLOADS / 2 {
                fs::remove_file(self.uploads.join(format!("invoices/{number:03}.txt")))?;
            }
            fs::remove_file(self.uploads.join("latest"))?;
            fs::write(self.uploads.join("invoices/024.txt"), "overwritten\n")?;
            let secret = self.uploads.join("key.pem");
            fs::set_permissions(secret, fs::Permissions::from_mode(0o644))
        };
        wreck().map_err(Failure::file("wreck", &self.uploads))
    }

    /// Adds a file that a restore would lose if it did not capture first what is there.
    pub(super) fn add_late_upload(&self) -> Result<Upload> {
        let upload = Upload { name: "late.txt".to_owned(), content: "came late\n".to_owned() };
        let path = self.uploads.join(&upload.name);
        fs::write(&path, &upload.content).map_err(Failure::file("write", path))?;
        Ok(upload)
    }

    /// Returns what is there, in a sentence.
    pub(super) fn describe(&self) -> Result<String> {
        let count = |connection: &Connection, table: &str| -> rusqlite::Result<String> {
            if !connection.table_exists(None, table)? {
                return Ok(format!("no table {table}"));
            }
            let query = format!("SELECT count(*) FROM {table}");
            let n: u64 = connection.query_row(&query, [], |row| row.get(0))?;
            Ok(format!("{n} {table}"))
        };
        let describe = || -> rusqlite::Result<String> {
            let connection = Connection::open(&self.database)?;
            Ok(format!("{}, {}", count(&connection, "customers")?, count(&connection, "orders")?))
        };
        let rows = describe().map_err(|source| self.database_failure("read", source))?;
        let entries = self.entries()?;
        let n_files = entries.iter().filter(|path| path.is_file() && !path.is_symlink()).count();
        Ok(format!("Now: {rows}, {n_files} uploaded files."))
    }

    /// Returns a digest of every row of every table, and of every name, mode, target and byte of the uploads.
    pub(super) fn digest(&self) -> Result<Digest> {
        let mut text = Vec::new();
        self.add_rows(&mut text).map_err(|source| self.database_failure("read", source))?;
        for path in self.entries()? {
            self.add_entry(&path, &mut text).map_err(Failure::file("read", &path))?;
        }
        Ok(Digest::of(&text))
    }

    fn add_rows(&self, text: &mut Vec<u8>) -> rusqlite::Result<()> {
        let connection = Connection::open(&self.database)?;
        let mut statement =
            connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")?;
        let schema = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
        })?;
        let schema = schema.collect::<rusqlite::Result<Vec<_>>>()?;
        for (name, sql) in schema {
            let sql = sql.unwrap_or_default();
            text.extend_from_slice(format!("{name} {sql}\n").as_bytes());
            if !sql.starts_with("CREATE TABLE") {
                continue;
            }
            let mut statement = connection.prepare(&format!("SELECT * FROM {name} ORDER BY 1"))?;
            let n_columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..n_columns {
                    match row.get_ref(column)? {
                        ValueRef::Text(value) | ValueRef::Blob(value) => text.extend(value),
                        ValueRef::Integer(value) => text.extend(value.to_le_bytes()),
                        ValueRef::Real(value) => text.extend(value.to_le_bytes()),
                        ValueRef::Null => {}
                    }
                    text.push(0);
                }
            }
        }
        Ok(())
    }

    fn add_entry(&self, path: &Path, text: &mut Vec<u8>) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        text.extend_from_slice(path.as_os_str().as_bytes());
        text.extend_from_slice(format!(" {:o} ", metadata.permissions().mode()).as_bytes());
        if metadata.is_symlink() {
            text.extend_from_slice(fs::read_link(path)?.as_os_str().as_bytes());
        } else if metadata.is_file() {
            text.extend_from_slice(&fs::read(path)?);
        }
        text.push(0);
        Ok(())
    }

    /// Returns all uploads and directories in ascending order.
    fn entries(&self) -> Result<Vec<PathBuf>> {
        let mut found = vec![self.uploads.clone()];
        let mut at = 0;
        while let Some(path) = found.get(at).cloned() {
            at += 1;
            if path.is_dir() && !path.is_symlink() {
                let entries = fs::read_dir(&path).and_then(|entries| {
                    entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()
                });
                found.extend(entries.map_err(Failure::file("list", &path))?);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn database_failure(&self, verb: &str, source: rusqlite::Error) -> Failure {
        let claim = format!("one can {verb} {}", self.database.display());
        Failure::Demo { claim, source: Some(Box::new(source)) }
    }
}
