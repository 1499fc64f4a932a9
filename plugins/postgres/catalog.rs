//! What a database holds, as its catalogs say.

use crate::postgres::connect::Session;
use crate::postgres::failure::Failure;
use crate::postgres::manifest::{Load, Order, Requirements, Sequence};
use crate::postgres::quote::{identifier, literal, qualified};

/// Without a key, tables up to this many bytes on disk are sorted by their whole rows, which costs about four times
/// as much as reading them.
const SORTED_BYTES_MAX: i64 = 256 << 20;

/// Sequences read by one statement.
const SEQUENCES_PER_QUERY: usize = 200;

/// One thing to copy: a table alone, or a tree of partitions through its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    pub(crate) load: Load,
    /// The rows of an extension's table that are the user's, as a `WHERE` clause.
    condition: String,
    /// The terms of a unique key, as SQL; empty where there is none.
    key: Vec<String>,
    /// The column of which the key is made, where it is one whole number.
    number: Option<String>,
}

/// Rows whose key is at least the first and below the second number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
}

/// Tables that hold data of the user. A leaf below a partitioning by hash stands as the topmost such ancestor, unless
/// a foreign table hangs there too. Text keys sort by bytes: a library's collation differs from host to host.
const TABLES: &str = r#"
WITH leaf AS (
  SELECT c.oid, top.root, e.condition
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
    SELECT x.extcondition[array_position(x.extconfig, c.oid)] AS condition,
           c.oid = ANY (x.extconfig) AS configuration
    FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
      AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e') e ON true
  LEFT JOIN LATERAL (
    SELECT a.relid::oid AS root
    FROM pg_partition_ancestors(c.oid) WITH ORDINALITY AS a(relid, level)
    JOIN pg_partitioned_table p ON p.partrelid = a.relid
    WHERE p.partstrat = 'h' AND NOT EXISTS (
      SELECT FROM pg_partition_tree(a.relid) t JOIN pg_class f ON f.oid = t.relid WHERE f.relkind = 'f')
    ORDER BY a.level DESC LIMIT 1) top ON c.relispartition
  WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema' AND coalesce(e.configuration, true)
), target AS (
  SELECT DISTINCT coalesce(root, oid) AS oid, root IS NOT NULL AS is_root, condition FROM leaf
)
SELECT n.nspname::text, c.relname::text, t.is_root, t.condition,
  ARRAY(SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        ORDER BY a.attnum),
  coalesce(key.terms, '{}'), key.number
FROM target t
JOIN pg_class c ON c.oid = t.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
  SELECT terms, number FROM (
    SELECT i.indisprimary, i.indnkeyatts,
      CASE WHEN i.indnkeyatts = 1 AND bool_and(a.atttypid IN (20, 21, 23)) THEN min(a.attname::text) END AS number,
      bool_and(a.attnotnull AND o.opcdefault) AS usable,
      array_agg(quote_ident(a.attname)
        || CASE WHEN a.attcollation IN (0, 950, 951) THEN '' ELSE ' COLLATE pg_catalog."C"' END ORDER BY p) AS terms
    FROM pg_index i
    CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS p
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p]
    JOIN pg_opclass o ON o.oid = i.indclass[p]
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
    GROUP BY i.indexrelid, i.indisprimary, i.indnkeyatts) keys
  WHERE usable ORDER BY indisprimary DESC, indnkeyatts, terms COLLATE "C" LIMIT 1) key ON true
ORDER BY 1, 2
"#;

/// Returns the tables to copy, in the order of their names.
pub(crate) fn tables(session: &Session) -> Result<Vec<Table>, Failure> {
    let rows = session.query(TABLES, &[])?;
    let table = |row: &tokio_postgres::Row| {
        let condition: Option<String> = row.get(3);
        let load = match (row.get(2), &condition) {
            (true, _) => Load::Root,
            (false, Some(_)) => Load::Extension,
            (false, None) => Load::Table,
        };
        Table {
            schema: row.get(0),
            name: row.get(1),
            columns: row.get(4),
            load,
            condition: condition.unwrap_or_default(),
            key: row.get(5),
            number: row.get(6),
        }
    };
    Ok(rows.iter().map(table).collect())
}

impl Table {
    /// Returns the table as SQL.
    pub(crate) fn sql_name(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// Returns what a lock on the table names: a root stands for all below it.
    pub(crate) fn lock_target(&self) -> String {
        self.selection()
    }

    fn selection(&self) -> String {
        match self.load {
            Load::Root => self.sql_name(),
            Load::Table | Load::Extension => format!("ONLY {}", self.sql_name()),
        }
    }

    /// Returns the order that the table's rows can be had in.
    pub(crate) fn order(&self, size_bytes: i64) -> Order {
        if !self.key.is_empty() {
            Order::Key
        } else if self.columns.is_empty() {
            Order::Heap
        } else if size_bytes <= SORTED_BYTES_MAX || self.load == Load::Root {
            // Below a root there is no order on disk that outlives a restore.
            Order::Row
        } else {
            Order::Heap
        }
    }

    /// Returns the column whose ranges can be read one by one, where there is one.
    pub(crate) fn number(&self) -> Option<&str> {
        let plain = self.load == Load::Table && self.condition.is_empty();
        self.number.as_deref().filter(|_| plain)
    }

    /// Returns the statement that writes the rows out; `options` are those of `COPY`.
    pub(crate) fn copy_out(&self, order: Order, options: &str) -> String {
        self.copy_where(&self.condition, order, options)
    }

    /// Returns the statement that writes the rows of a range out, in the order of the key.
    pub(crate) fn copy_range(&self, range: &Range, options: &str) -> String {
        let column = identifier(self.number().unwrap_or_default());
        // Quoted, a number takes the type of the column, for which there is an index.
        let bound =
            |sign: &str, key: Option<i64>| key.map(|key| format!("{column} {sign} '{key}'"));
        let bounds: Vec<_> =
            [bound(">=", range.from), bound("<", range.to)].into_iter().flatten().collect();
        let condition = match bounds.as_slice() {
            [] => String::new(),
            bounds => format!("WHERE {}", bounds.join(" AND ")),
        };
        self.copy_where(&condition, Order::Key, options)
    }

    fn copy_where(&self, condition: &str, order: Order, options: &str) -> String {
        if self.columns.is_empty() {
            // Such rows are empty lines: there is no column to select, and no order among them.
            return format!("COPY {} TO STDOUT ({options})", self.sql_name());
        }
        let order = match order {
            Order::Key => format!(" ORDER BY {}", self.key.join(", ")),
            Order::Row => {
                " ORDER BY pg_catalog.record_out(\"dysno row\")::pg_catalog.text COLLATE pg_catalog.\"C\""
                    .to_owned()
            }
            Order::Heap => String::new(),
        };
        format!(
            "COPY (SELECT {} FROM {} AS \"dysno row\" {condition}{order}) TO STDOUT ({options})",
            column_list(&self.columns),
            self.selection(),
        )
    }
}

/// Returns column names as SQL, without parentheses.
pub(crate) fn column_list(columns: &[String]) -> String {
    columns.iter().map(|column| identifier(column)).collect::<Vec<_>>().join(", ")
}

/// Returns the bytes on disk of a table, or of all partitions below it.
pub(crate) fn size_bytes(session: &Session, table: &Table) -> Result<i64, Failure> {
    let row = session.query_one(
        "SELECT coalesce(sum(pg_relation_size(relid)), 0)::int8 FROM (\
           SELECT relid::oid FROM pg_partition_tree($1::text::regclass) \
           UNION SELECT $1::text::regclass::oid) t",
        &[&table.sql_name()],
    )?;
    Ok(row.get(0))
}

/// Returns the values of all sequences. They are no part of any transaction: read after the rows, they are never
/// behind them.
pub(crate) fn sequences(session: &Session) -> Result<Vec<Sequence>, Failure> {
    let names = session.query(
        "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' \
           AND n.nspname <> 'information_schema' \
           AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid \
             WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' \
               AND d.refclassid = 'pg_extension'::regclass AND c.oid <> ALL (coalesce(x.extconfig, '{}'))) \
         ORDER BY 1, 2",
        &[],
    )?;
    let names: Vec<(String, String)> = names.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut sequences = Vec::with_capacity(names.len());
    for some in names.chunks(SEQUENCES_PER_QUERY) {
        let selects: Vec<_> = some
            .iter()
            .map(|(schema, name)| {
                format!(
                    "SELECT {}, {}, last_value, is_called FROM {}",
                    literal(schema),
                    literal(name),
                    qualified(schema, name)
                )
            })
            .collect();
        for row in session.query(&selects.join(" UNION ALL "), &[])? {
            sequences.push(Sequence {
                schema: row.get(0),
                name: row.get(1),
                value: row.get(2),
                called: row.get(3),
            });
        }
    }
    sequences.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Ok(sequences)
}

/// Returns what the target of a restore must have.
pub(crate) fn requirements(session: &Session) -> Result<Requirements, Failure> {
    let names = |sql: &str| -> Result<Vec<String>, Failure> {
        Ok(session.query(sql, &[])?.iter().map(|row| row.get(0)).collect())
    };
    Ok(Requirements {
        extensions: names(
            "SELECT extname::text COLLATE \"C\" FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1",
        )?,
        // The first superuser is pinned and stands in no dependency; what it owns says that it is needed.
        roles: names(
            "SELECT rolname::text COLLATE \"C\" FROM pg_roles WHERE oid IN (\
               SELECT refobjid FROM pg_shdepend s JOIN pg_database d ON d.datname = current_database() \
               WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype IN ('o', 'a', 'r') \
                 AND (s.dbid = d.oid OR s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = d.oid) \
               UNION SELECT datdba FROM pg_database WHERE datname = current_database() \
               UNION SELECT relowner FROM pg_class WHERE oid >= 16384 \
               UNION SELECT setrole FROM pg_db_role_setting r JOIN pg_database d ON d.oid = r.setdatabase \
                 WHERE d.datname = current_database()) \
             AND rolname !~ '^pg_' ORDER BY 1",
        )?,
        tablespaces: names(
            "SELECT spcname::text COLLATE \"C\" FROM pg_tablespace WHERE spcname !~ '^pg_' AND oid IN (\
               SELECT reltablespace FROM pg_class UNION \
               SELECT dattablespace FROM pg_database WHERE datname = current_database()) ORDER BY 1",
        )?,
    })
}
