//! The properties of the database itself: what no dump of its contents holds.

use serde::{Deserialize, Serialize};

use crate::postgres::connect::Session;
use crate::postgres::failure::Failure;
use crate::postgres::quote::{identifier, literal};

/// Settings whose values are lists of names, stored with each name quoted.
const NAME_LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// A database's properties. Its name is none: a renamed database has the same state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Properties {
    pub(crate) collate: String,
    pub(crate) comment: Option<String>,
    pub(crate) connection_limit: i32,
    pub(crate) ctype: String,
    pub(crate) encoding: String,
    pub(crate) is_template: bool,
    pub(crate) locale: Option<String>,
    pub(crate) locale_provider: LocaleProvider,
    pub(crate) locale_rules: Option<String>,
    pub(crate) owner: String,
    pub(crate) privileges: Vec<Privilege>,
    pub(crate) security_labels: Vec<SecurityLabel>,
    pub(crate) settings: Vec<RoleSetting>,
    pub(crate) tablespace: String,
}

/// Who sorts and classifies characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LocaleProvider {
    Libc,
    Icu,
    Builtin,
}

/// One granted right. Without a grantee it is everybody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Privilege {
    pub(crate) grantable: bool,
    pub(crate) grantee: Option<String>,
    pub(crate) grantor: String,
    pub(crate) privilege: String,
}

/// One security label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecurityLabel {
    label: String,
    provider: String,
}

/// A setting of the database, or of one role in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleSetting {
    name: String,
    role: Option<String>,
    value: String,
}

/// The row as JSON, because its columns differ by version.
const DATABASE: &str = "SELECT d.oid, to_jsonb(d)->>'datlocprovider', to_jsonb(d)->>'datlocale', \
    to_jsonb(d)->>'daticulocale', to_jsonb(d)->>'daticurules', pg_encoding_to_char(d.encoding)::text, \
    d.datcollate::text, d.datctype::text, pg_get_userbyid(d.datdba)::text, d.datconnlimit, d.datistemplate, \
    t.spcname::text, shobj_description(d.oid, 'pg_database') \
    FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database()";

/// The owner's own grants first: others may depend on their grant options.
const PRIVILEGES: &str = "SELECT a.is_grantable, g.rolname::text, pg_get_userbyid(a.grantor)::text, a.privilege_type \
    FROM pg_database d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a \
    LEFT JOIN pg_roles g ON g.oid = a.grantee WHERE d.oid = $1 \
    ORDER BY a.grantor <> d.datdba, pg_get_userbyid(a.grantor), g.rolname, a.privilege_type";

const SETTINGS: &str = "SELECT r.rolname::text, split_part(s.entry, '=', 1), substr(s.entry, strpos(s.entry, '=') + 1) \
    FROM pg_db_role_setting d LEFT JOIN pg_roles r ON r.oid = d.setrole CROSS JOIN LATERAL unnest(d.setconfig) s(entry) \
    WHERE d.setdatabase = $1 ORDER BY r.rolname NULLS FIRST, s.entry COLLATE \"C\"";

const SECURITY_LABELS: &str = "SELECT provider, label FROM pg_shseclabel \
    WHERE classoid = 'pg_database'::regclass AND objoid = $1 ORDER BY 1";

/// Reads the properties of the session's database.
pub(crate) fn read(session: &Session) -> Result<Properties, Failure> {
    let row = session.query_one(DATABASE, &[])?;
    let oid: u32 = row.get(0);
    let provider: Option<String> = row.get(1);
    let privilege = |row: &tokio_postgres::Row| Privilege {
        grantable: row.get(0),
        grantee: row.get(1),
        grantor: row.get(2),
        privilege: row.get(3),
    };
    let setting = |row: &tokio_postgres::Row| RoleSetting {
        role: row.get(0),
        name: row.get(1),
        value: row.get(2),
    };
    let label =
        |row: &tokio_postgres::Row| SecurityLabel { provider: row.get(0), label: row.get(1) };
    Ok(Properties {
        locale_provider: match provider.as_deref() {
            Some("i") => LocaleProvider::Icu,
            Some("b") => LocaleProvider::Builtin,
            Some(_) | None => LocaleProvider::Libc,
        },
        locale: row.get::<_, Option<String>>(2).or(row.get(3)),
        locale_rules: row.get(4),
        encoding: row.get(5),
        collate: row.get(6),
        ctype: row.get(7),
        owner: row.get(8),
        connection_limit: row.get(9),
        is_template: row.get(10),
        tablespace: row.get(11),
        comment: row.get(12),
        privileges: session.query(PRIVILEGES, &[&oid])?.iter().map(privilege).collect(),
        settings: session.query(SETTINGS, &[&oid])?.iter().map(setting).collect(),
        security_labels: session.query(SECURITY_LABELS, &[&oid])?.iter().map(label).collect(),
    })
}

impl Properties {
    /// Returns the statement that creates an empty database with what cannot be changed afterwards.
    pub(crate) fn create(&self, name: &str, major: u32) -> String {
        let mut sql = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {} TABLESPACE {}",
            identifier(name),
            literal(&self.encoding),
            literal(&self.collate),
            literal(&self.ctype),
            identifier(&self.tablespace),
        );
        let (provider, locale) = match self.locale_provider {
            // The only one that servers before version 15 have, and no word for it.
            LocaleProvider::Libc if major < 15 => return sql,
            // Said aloud, because template0 may have another.
            LocaleProvider::Libc => return sql + " LOCALE_PROVIDER libc",
            LocaleProvider::Icu => ("icu", "ICU_LOCALE"),
            LocaleProvider::Builtin => ("builtin", "BUILTIN_LOCALE"),
        };
        sql.push_str(&format!(" LOCALE_PROVIDER {provider}"));
        if let Some(name) = &self.locale {
            sql.push_str(&format!(" {locale} {}", literal(name)));
        }
        if let Some(rules) = &self.locale_rules {
            sql.push_str(&format!(" ICU_RULES {}", literal(rules)));
        }
        sql
    }

    /// Returns the statements that give a new database its properties.
    pub(crate) fn apply(&self, name: &str) -> Vec<String> {
        let database = identifier(name);
        let comment = self.comment.as_ref().map_or("NULL".to_owned(), |text| literal(text));
        let mut statements = vec![
            format!("ALTER DATABASE {database} OWNER TO {}", identifier(&self.owner)),
            format!("COMMENT ON DATABASE {database} IS {comment}"),
            format!("ALTER DATABASE {database} CONNECTION LIMIT {}", self.connection_limit),
            format!("ALTER DATABASE {database} IS_TEMPLATE {}", self.is_template),
        ];
        for setting in &self.settings {
            statements.push(setting.apply(&database));
        }
        for label in &self.security_labels {
            statements.push(format!(
                "SECURITY LABEL FOR {} ON DATABASE {database} IS {}",
                identifier(&label.provider),
                literal(&label.label)
            ));
        }
        statements.extend(self.grants(&database));
        statements
    }

    fn grants(&self, database: &str) -> Vec<String> {
        let owner = identifier(&self.owner);
        let mut statements = vec![
            format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
            format!("REVOKE ALL ON DATABASE {database} FROM {owner}"),
        ];
        for right in &self.privileges {
            let grantee =
                right.grantee.as_ref().map_or("PUBLIC".to_owned(), |role| identifier(role));
            let option = if right.grantable { " WITH GRANT OPTION" } else { "" };
            let grant =
                format!("GRANT {} ON DATABASE {database} TO {grantee}{option}", right.privilege);
            // Who granted is part of the right: when the grantor loses it, the grantee does.
            statements
                .push(format!("SET ROLE {}; {grant}; RESET ROLE", identifier(&right.grantor)));
        }
        statements
    }
}

impl RoleSetting {
    fn apply(&self, database: &str) -> String {
        let whose = match &self.role {
            Some(role) => format!("ALTER ROLE {} IN DATABASE {database}", identifier(role)),
            None => format!("ALTER DATABASE {database}"),
        };
        let value = if NAME_LISTS.contains(&self.name.to_ascii_lowercase().as_str()) {
            let names: Vec<_> = names(&self.value).iter().map(|name| literal(name)).collect();
            if names.is_empty() { "''".to_owned() } else { names.join(", ") }
        } else {
            literal(&self.value)
        };
        // Custom settings have a dot between two names.
        let name = self.name.split('.').map(identifier).collect::<Vec<_>>().join(".");
        format!("{whose} SET {name} TO {value}")
    }
}

/// Splits a list of names as the server stores it: commas between them, quotes doubled inside quotes.
fn names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut characters = list.trim().chars().peekable();
    while characters.peek().is_some() {
        let mut name = String::new();
        let mut quoted = false;
        while let Some(character) = characters.next() {
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    name.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => break,
                ' ' if !quoted => {}
                other => name.push(other),
            }
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_search_path_becomes_names_again() {
        assert_eq!(names(r#""$user", public"#), ["$user", "public"]);
        assert_eq!(names(r#""a""b,c", d"#), ["a\"b,c", "d"]);
        assert_eq!(names(r#""""#), [""]);
        assert!(names("").is_empty());
    }

    #[test]
    fn a_setting_is_quoted_by_its_kind() {
        let setting = |name: &str, value: &str| {
            RoleSetting { name: name.to_owned(), role: None, value: value.to_owned() }
                .apply("\"db\"")
        };
        assert_eq!(
            setting("search_path", "\"a b\", public"),
            "ALTER DATABASE \"db\" SET \"search_path\" TO 'a b', 'public'"
        );
        assert_eq!(setting("app.x", "it's"), "ALTER DATABASE \"db\" SET \"app\".\"x\" TO 'it''s'");
    }
}
