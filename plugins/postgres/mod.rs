//! Databases of a PostgreSQL server: a dump of each as one view, restored beside the live one and swapped in.

mod catalog;
mod connect;
mod create;
mod failure;
mod load;
mod manifest;
mod names;
mod properties;
mod quote;
mod schema;
mod settings;
mod snapshot;
mod socket;
mod split;
mod stage;
mod statements;
mod swap;
#[cfg(test)]
mod tests;
mod tools;
mod verify;

use std::path::Path;
use std::time::Duration;

use connect::{Pace, Session};
use settings::{Address, Server};

use crate::tree::Profile;
use crate::{
    Activation, Capture, Consistency, Container, ContainerProbe, Context, Environment, Error, Kind,
    Plugin, Probe, RestoreOptions, Result, SnapshotOptions, Source, Standing, Swap, Tag,
};

pub(crate) const KIND: Kind = Kind {
    name: "postgres",
    summary: "databases of a PostgreSQL server",
    component: "the name of a database",
    initial: "a .sql file, or a directory of .sql files that run in the order of their names",
    profile: Profile::Files1,
    consistency: Consistency::Dump,
    settings: settings::SETTINGS,
    open,
};

/// A probe answers within two seconds; it may need two sessions.
const PROBE_WAIT: Duration = Duration::from_millis(900);

fn open(table: &toml::Table, context: &Context) -> Result<Box<dyn Container>> {
    Ok(Box::new(Postgres { server: Server::parse(table, context)? }))
}

/// A server.
struct Postgres {
    server: Server,
}

/// One database of a server, which may not exist.
struct Database {
    server: Server,
    name: String,
}

impl Container for Postgres {
    fn probe(&self) -> Result<ContainerProbe> {
        let session = Session::open_beside(&self.server, "", Pace::Within(PROBE_WAIT))?;
        let rows = session
            .query(
                "SELECT datname::text COLLATE \"C\" FROM pg_database \
                 WHERE datallowconn AND NOT datistemplate ORDER BY 1",
                &[],
            )
            .map_err(|f| f.during("list", "the databases"))?;
        let components =
            rows.iter().map(|row| row.get(0)).filter(|name: &String| !names::is_ours(name));
        Ok(ContainerProbe {
            components: components.collect(),
            version: Some(session.version.clone()),
        })
    }

    fn open(&self, component: &str) -> Result<Box<dyn Plugin>> {
        names::check(component)?;
        Ok(Box::new(Database { server: self.server.clone(), name: component.to_owned() }))
    }
}

impl Database {
    /// Makes a missing database a missing state.
    fn missing(&self, error: Error) -> Error {
        if connect::is_missing_database(&error) {
            return Error::Missing { what: format!("database {:?}", self.name) };
        }
        error
    }
}

impl Plugin for Database {
    fn probe(&self) -> Result<Probe> {
        let session = Session::open_beside(&self.server, &self.name, Pace::Within(PROBE_WAIT))?;
        let rows = session
            .query(
                "SELECT pg_database_size(oid) FROM pg_database WHERE datname = $1::text",
                &[&self.name],
            )
            .map_err(|f| f.during("inspect", format!("database {:?}", self.name)))?;
        Ok(Probe {
            exists: !rows.is_empty(),
            version: Some(session.version.clone()),
            size_bytes: rows.first().and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok()),
        })
    }

    fn activate(&self, initial: Option<&Path>) -> Result<Activation> {
        create::create(&self.server, &self.name, initial)
    }

    fn snapshot(&self, capture: &dyn Capture, _: &SnapshotOptions) -> Result<()> {
        snapshot::capture(&self.server, &self.name, capture).map_err(|error| self.missing(error))
    }

    fn stage(&self, source: &dyn Source, tag: &Tag, _: &RestoreOptions) -> Result<Swap> {
        stage::stage(&self.server, &self.name, source, tag)
    }

    fn swap(&self, swap: &Swap) -> Result<()> {
        swap::swap(&self.server, &self.name, swap)
    }

    fn unswap(&self, swap: &Swap) -> Result<()> {
        swap::unswap(&self.server, &self.name, swap)
    }

    fn standing(&self, swap: &Swap) -> Result<Standing> {
        let session = Session::open_beside(&self.server, &self.name, Pace::Data)?;
        swap::standing(&session, &self.name, swap)
    }

    fn release(&self, tag: &Tag) -> Result<()> {
        swap::release(&self.server, &self.name, tag)
    }

    fn collect_garbage(&self) -> Result<()> {
        let session = Session::open_beside(&self.server, &self.name, Pace::Data)?;
        swap::drop_database(&session, &self.server, &self.name)
    }

    fn shell(&self) -> Result<Environment> {
        let host = match self.server.address() {
            Address::Socket(directory) => directory.display().to_string(),
            Address::Host(host) => host,
        };
        let variables = [
            ("PGHOST", host),
            ("PGPORT", self.server.port().to_string()),
            ("PGUSER", self.server.user().to_owned()),
            ("PGDATABASE", self.name.clone()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Ok(Environment { variables, directory: None })
    }
}
