//! One session with a server, for blocking code.

use std::future::Future;
use std::io::{self, Read};
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};

use crate::postgres::failure::{Failure, ServerError};
use crate::postgres::settings::Server;
use crate::postgres::socket::{self, Refusal, Stream};
use crate::{Error, Result, runtime};

/// A server that has not let us in by then is as good as down.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How often a running statement is held against the interrupt.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// How long a session on its way out is given to cancel its statement.
const CANCEL_WAIT: Duration = Duration::from_secs(2);

/// Rows come one a message; what takes them wants larger writes.
pub(crate) const COPY_BYTES: usize = 256 << 10;

/// The oldest server whose catalogs and statements are known: the first with `DROP DATABASE … WITH (FORCE)`.
const VERSION_MIN: u32 = 13;

/// Settings of every session and of every tool. They override what the database or the role sets, and texts depend
/// on them: bounds of partitions on the time zone, for example.
pub(crate) const PINNED: &str = "-c timezone=UTC -c datestyle=ISO,YMD -c intervalstyle=postgres \
    -c extra_float_digits=3 -c bytea_output=hex -c xmloption=content -c lc_monetary=C \
    -c standard_conforming_strings=on -c quote_all_identifiers=off -c search_path= -c row_security=off \
    -c synchronize_seqscans=off -c statement_timeout=0 -c lock_timeout=0 \
    -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off \
    -c default_transaction_isolation=read\\ committed -c default_transaction_deferrable=off -c jit=off \
    -c max_parallel_workers_per_gather=0";

/// How long one statement of a session may take.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// At most so long: for catalogs and swaps.
    Within(Duration),
    /// As long as the data needs; the interrupt ends it.
    Data,
}

/// An open session.
pub(crate) struct Session {
    client: Client,
    runtime: Runtime,
    server: Server,
    pace: Pace,
    /// The version of the server: its major number.
    pub(crate) major: u32,
    /// The version of the server in words.
    pub(crate) version: String,
}

impl Session {
    /// Logs in.
    pub(crate) fn open(server: &Server, database: &str, pace: Pace) -> Result<Self> {
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| Error::Connect {
            server: server.describe(database),
            source,
        };
        let config = config(server, database)?;
        let runtime = runtime::open().map_err(|source| refused(Box::new(source)))?;
        let wait = match pace {
            Pace::Within(limit) => limit.min(CONNECT_WAIT),
            Pace::Data => CONNECT_WAIT,
        };
        let opened = {
            let _entered = runtime.enter();
            socket::connect(server, wait)
        };
        let client = runtime
            .block_on(async {
                timeout(wait, async {
                    match opened? {
                        Stream::Unix(stream) => login(&config, stream).await,
                        Stream::Tcp(stream) => login(&config, stream).await,
                    }
                })
                .await
                .unwrap_or_else(|_| Err(Box::new(ServerError::timeout(wait.as_secs()))))
            })
            .map_err(refused)?;
        let mut session = Self {
            client,
            runtime,
            server: server.clone(),
            pace,
            major: 0,
            version: String::new(),
        };
        session.adapt()?;
        Ok(session)
    }

    /// Logs in to the first database of which `database` can be administered.
    pub(crate) fn open_beside(server: &Server, database: &str, pace: Pace) -> Result<Self> {
        let mut refusal = None;
        for candidate in server.maintenance_databases(database) {
            match Self::open(server, candidate, pace) {
                Ok(session) => return Ok(session),
                Err(error) if is_missing_database(&error) => refusal = refusal.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Err(refusal.expect("template1 or postgres is always a candidate"))
    }

    /// Learns the server's version and pins what only newer servers know.
    fn adapt(&mut self) -> Result<()> {
        let row = self
            .query_one(
                "SELECT current_setting('server_version_num')::int4 / 10000, \
                 split_part(current_setting('server_version'), ' ', 1)",
                &[],
            )
            .map_err(|failure| failure.during("read", "the version of the server"))?;
        self.major = u32::try_from(row.get::<_, i32>(0)).unwrap_or(0);
        self.version = row.get(1);
        if self.major < VERSION_MIN {
            return Err(Error::Refused {
                verb: "work with",
                object: format!("PostgreSQL {}", self.version),
                reason: format!("version {VERSION_MIN} or newer is needed"),
            });
        }
        for setting in self.pinned_by_version() {
            self.batch(&format!("SET {setting}"))
                .map_err(|failure| failure.during("prepare", "the session"))?;
        }
        Ok(())
    }

    /// Returns the pinned settings that only this server's version knows.
    fn pinned_by_version(&self) -> &'static [&'static str] {
        match self.major {
            ..14 => &[],
            14..17 => &["idle_session_timeout=0"],
            17.. => &["idle_session_timeout=0", "transaction_timeout=0"],
        }
    }

    /// Returns the options for tools that open sessions of their own.
    pub(crate) fn tool_options(&self) -> String {
        let newer: String = self.pinned_by_version().iter().map(|s| format!(" -c {s}")).collect();
        format!("{PINNED}{newer}")
    }

    /// Runs a query with parameters.
    pub(crate) fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        self.run(async { Ok(self.client.query(sql, parameters).await?) })
    }

    /// Runs a query that gives one row.
    pub(crate) fn query_one(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Failure> {
        self.run(async { Ok(self.client.query_one(sql, parameters).await?) })
    }

    /// Runs statements that return nothing and take no parameters.
    pub(crate) fn batch(&self, sql: &str) -> Result<(), Failure> {
        self.run(async { Ok(self.client.batch_execute(sql).await?) })
    }

    /// Runs a `COPY … TO STDOUT` inside a transaction and returns the number of its messages: one a row, and in the
    /// binary format one more. `take` finds what came since the last call in the buffer, and may keep it or leave it.
    pub(crate) fn copy_out(
        &self,
        sql: &str,
        take: &mut dyn FnMut(&mut Vec<u8>) -> io::Result<()>,
    ) -> Result<u64, Failure> {
        let interrupt = &self.server.context.interrupt;
        let mut n_messages = 0;
        let mut flush = |buffer: &mut Vec<u8>| {
            interrupt.check().map_err(|_| Failure::Interrupted)?;
            take(buffer).map_err(|e| Failure::Snapshot("write", e))?;
            buffer.clear();
            Ok(())
        };
        self.run(async {
            let mut rows = pin!(self.client.copy_out(sql).await?);
            let mut buffer = Vec::with_capacity(COPY_BYTES);
            while let Some(row) = rows.next().await {
                let row = row?;
                n_messages += 1;
                // A row may be of any size; the buffer may not.
                for part in row.chunks(COPY_BYTES) {
                    if buffer.len() + part.len() > COPY_BYTES {
                        flush(&mut buffer)?;
                    }
                    buffer.extend_from_slice(part);
                }
            }
            if buffer.is_empty() { Ok(()) } else { flush(&mut buffer) }
        })?;
        // The stream ends with the data; whether the statement itself ended well is only known by what follows it:
        // after an error the transaction takes no further statement.
        self.batch("SELECT")?;
        Ok(n_messages)
    }

    /// Runs a `COPY … FROM STDIN` and returns how many rows the server took.
    pub(crate) fn copy_in(&self, sql: &str, input: &mut dyn Read) -> Result<u64, Failure> {
        let interrupt = &self.server.context.interrupt;
        self.run(async {
            let mut sink = pin!(self.client.copy_in::<_, Bytes>(sql).await?);
            loop {
                interrupt.check().map_err(|_| Failure::Interrupted)?;
                let mut buffer = vec![0; COPY_BYTES];
                // A failing source drops the sink without finishing it, which makes the server roll the copy back.
                let n_bytes = fill(input, &mut buffer).map_err(|e| Failure::Snapshot("read", e))?;
                if n_bytes == 0 {
                    break;
                }
                buffer.truncate(n_bytes);
                sink.send(Bytes::from(buffer)).await?;
            }
            Ok(sink.finish().await?)
        })
    }

    /// Drives a statement to its end, its limit or the interrupt.
    fn run<T>(&self, statement: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let started = Instant::now();
        let interrupt = &self.server.context.interrupt;
        let outcome = self.runtime.block_on(async {
            let mut statement = pin!(statement);
            loop {
                if let Ok(outcome) = timeout(WATCH_INTERVAL, &mut statement).await {
                    return outcome;
                }
                if interrupt.is_raised() {
                    return Err(Failure::Interrupted);
                }
                if let Pace::Within(limit) = self.pace
                    && started.elapsed() > limit
                {
                    return Err(Failure::Server(ServerError::timeout(limit.as_secs())));
                }
            }
        });
        if let Err(Failure::Interrupted) = outcome {
            self.cancel();
        }
        outcome
    }

    /// Asks the server to stop what it does for this session. Best effort: the session ends anyway.
    fn cancel(&self) {
        let token = self.client.cancel_token();
        let opened = {
            let _entered = self.runtime.enter();
            socket::connect(&self.server, CANCEL_WAIT)
        };
        self.runtime.block_on(async {
            let asked = async {
                match opened {
                    Ok(Stream::Unix(stream)) => token.cancel_query_raw(stream, NoTls).await.ok(),
                    Ok(Stream::Tcp(stream)) => token.cancel_query_raw(stream, NoTls).await.ok(),
                    Err(_) => None,
                }
            };
            let _ = timeout(CANCEL_WAIT, asked).await;
        });
    }
}

/// Returns whether the server is there and the database is not.
pub(crate) fn is_missing_database(error: &Error) -> bool {
    let Error::Connect { source, .. } = error else { return false };
    source
        .downcast_ref::<ServerError>()
        .and_then(ServerError::code)
        .is_some_and(|code| *code == tokio_postgres::error::SqlState::INVALID_CATALOG_NAME)
}

fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n_filled = 0;
    while n_filled < buffer.len() {
        match input.read(&mut buffer[n_filled..]) {
            Ok(0) => break,
            Ok(n_bytes) => n_filled += n_bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n_filled)
}

fn config(server: &Server, database: &str) -> Result<Config> {
    let mut config = Config::new();
    config
        .user(server.user())
        .dbname(database)
        .application_name("dysno")
        .options(PINNED)
        .ssl_mode(tokio_postgres::config::SslMode::Disable);
    if let Some(password) = server.password()? {
        config.password(password.reveal());
    }
    Ok(config)
}

async fn login<S>(config: &Config, stream: S) -> Result<Client, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = config
        .connect_raw(stream, NoTls)
        .await
        .map_err(|error| ServerError::from(error).at_login())?;
    // Its error is seen by the statement that is under way.
    tokio::spawn(async { connection.await.ok() });
    Ok(client)
}
