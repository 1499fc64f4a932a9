//! The configuration file, parsed at the edge into types.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plugins::unit::is_container_name;
use plugins::{KINDS, Kind, UnitAddress, find_kind};
use serde::Deserialize;
use toml::de::DeTable;

/// The configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something in the file is not what it should be.
    #[error("cannot use the configuration {}, line {line}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what is allowed.
        message: String,
    },
}

/// What the configuration says, with defaults where it says nothing.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Configured containers. Every kind is a container of its own name besides.
    pub containers: BTreeMap<String, ContainerConfig>,
    /// Configured units.
    pub units: BTreeMap<UnitAddress, UnitConfig>,
    /// Units that are captured together.
    pub groups: BTreeMap<String, Vec<UnitAddress>>,
    /// How the store works.
    pub store: StoreConfig,
}

/// A configured container.
#[derive(Clone, Debug)]
pub struct ContainerConfig {
    /// The name of its kind.
    pub kind: &'static str,
    /// Its settings, as the kind reads them.
    pub settings: toml::Table,
}

/// A configured unit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UnitConfig {
    /// What the unit's first state is made from.
    pub initial: Option<PathBuf>,
    /// Which of its generations are kept.
    pub keep: Option<Keep>,
    /// Units that must be in service before this one.
    #[serde(default)]
    pub requires: Vec<UnitAddress>,
}

/// Which generations of a unit are kept: the newest of each of so many last, hours, days, weeks, months and years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The newest ones.
    pub last: u32,
    /// Of the newest hours that have any.
    pub hourly: u32,
    /// Of the newest days that have any.
    pub daily: u32,
    /// Of the newest ISO weeks that have any.
    pub weekly: u32,
    /// Of the newest months that have any.
    pub monthly: u32,
    /// Of the newest years that have any.
    pub yearly: u32,
}

/// How the store works.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The zstd level, 1 to 19.
    pub compression: i32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { compression: 3 }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    container: BTreeMap<String, toml::Table>,
    unit: BTreeMap<UnitAddress, UnitConfig>,
    group: BTreeMap<String, GroupConfig>,
    store: StoreConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupConfig {
    units: Vec<UnitAddress>,
}

impl Config {
    /// Reads a configuration file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Parses a configuration; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let file: File = toml::from_str(text).map_err(|error| {
            source.invalid(error.span().map_or(0, |span| span.start), error.message())
        })?;
        let mut config = Self { units: file.unit, store: file.store, ..Self::default() };
        for (name, mut settings) in file.container {
            let kind = source.check_container(&name, &settings)?;
            settings.remove("plugin");
            config.containers.insert(name, ContainerConfig { kind: kind.name, settings });
        }
        config.groups = file.group.into_iter().map(|(name, group)| (name, group.units)).collect();
        config.check(&source)?;
        Ok(config)
    }

    fn check(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        if !(1..=19).contains(&self.store.compression) {
            let at = source.find(&["store", "compression"]);
            return Err(source.invalid(at, "compression is a number from 1 to 19"));
        }
        for unit in self.units.keys() {
            self.check_unit(unit, source, &["unit", &unit.to_string()])?;
        }
        for (unit, config) in &self.units {
            for required in &config.requires {
                self.check_unit(required, source, &["unit", &unit.to_string(), "requires"])?;
            }
        }
        for (name, units) in &self.groups {
            for unit in units {
                self.check_unit(unit, source, &["group", name, "units"])?;
            }
        }
        Ok(())
    }

    fn check_unit(
        &self,
        unit: &UnitAddress,
        source: &Source<'_>,
        keys: &[&str],
    ) -> Result<(), ConfigError> {
        if self.kind_of(unit.container()).is_some() {
            return Ok(());
        }
        let known = self.container_names().join(", ");
        let message = format!("there is no container {}; there are {known}", unit.container());
        Err(source.invalid(source.find(keys), &message))
    }

    /// Returns the kind of a container.
    pub fn kind_of(&self, container: &str) -> Option<&'static Kind> {
        find_kind(self.containers.get(container).map_or(container, |config| config.kind))
    }

    /// Returns the names of all containers, configured and default, in ascending order.
    pub fn container_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.containers.keys().cloned().collect();
        names.extend(KINDS.iter().map(|kind| kind.name.to_owned()));
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The text of a configuration, for messages that say where.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn invalid(&self, at: usize, message: &str) -> ConfigError {
        let line = 1 + self.text[..at.min(self.text.len())].matches('\n').count();
        ConfigError::Invalid { path: self.path.to_owned(), line, message: message.to_owned() }
    }

    /// Returns where the last of nested keys stands that can be found.
    fn find(&self, keys: &[&str]) -> usize {
        let Ok(document) = DeTable::parse(self.text) else { return 0 };
        let mut table = document.get_ref();
        let mut at = 0;
        for key in keys {
            let Some((found, value)) = table.iter().find(|(name, _)| name.get_ref() == key) else {
                break;
            };
            at = found.span().start;
            let Some(next) = value.get_ref().as_table() else { break };
            table = next;
        }
        at
    }

    /// Checks the keys of a container here, where the line is known; the kind checks the values.
    fn check_container(
        &self,
        name: &str,
        settings: &toml::Table,
    ) -> Result<&'static Kind, ConfigError> {
        let invalid = |keys: &[&str], message: String| Err(self.invalid(self.find(keys), &message));
        if !is_container_name(name) {
            let form = "starts with a letter and holds letters, digits, - and _ only";
            return invalid(&["container", name], format!("a container's name {form}"));
        }
        let known = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        let Some(plugin) = settings.get("plugin") else {
            let message = format!("container {name} needs the key `plugin`, one of {known}");
            return invalid(&["container", name], message);
        };
        let Some(kind) = plugin.as_str().and_then(find_kind) else {
            let message = format!("there is no plugin {plugin}; there are {known}");
            return invalid(&["container", name, "plugin"], message);
        };
        for key in settings.keys() {
            if key != "plugin" && !kind.settings.iter().any(|setting| setting.name == key) {
                let allowed: Vec<_> = kind.settings.iter().map(|setting| setting.name).collect();
                let message = format!(
                    "unknown field `{key}` in container {name}, expected one of plugin, {}",
                    allowed.join(", ")
                );
                return invalid(&["container", name, key], message);
            }
        }
        Ok(kind)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        let message = match Config::parse(Path::new("/etc/dysno.toml"), text) {
            Ok(config) => {
                format!("{} containers, {} units", config.containers.len(), config.units.len())
            }
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&message);
    }

    #[test]
    fn a_full_configuration_is_read() {
        let text = r#"
            [container.web]
            plugin = "directory"
            root = "/srv"
            [unit."web:www"]
            initial = "/etc/www"
            keep = { last = 5, daily = 7 }
            requires = ["sqlite:/var/lib/a.db"]
            [group.shop]
            units = ["web:www", "postgres:shop"]
            [store]
            compression = 19
        "#;
        check(text, expect!["1 containers, 1 units"]);
    }

    #[test]
    fn a_typo_is_named_with_its_line_and_what_is_allowed() {
        check(
            "[store]\ncompresion = 3\n",
            expect![
                "cannot use the configuration /etc/dysno.toml, line 2: unknown field `compresion`, expected `compression`"
            ],
        );
        check(
            "\n[unti.\"a:b\"]\n",
            expect![
                "cannot use the configuration /etc/dysno.toml, line 2: unknown field `unti`, expected one of `container`, `unit`, `group`, `store`"
            ],
        );
        check(
            "[unit.\"postgres:a\"]\nkeep = { last = 1, dialy = 2 }\n",
            expect![
                "cannot use the configuration /etc/dysno.toml, line 2: unknown field `dialy`, expected one of `last`, `hourly`, `daily`, `weekly`, `monthly`, `yearly`"
            ],
        );
        check(
            "[container.a]\nplugin = \"directory\"\nrot = 1\n",
            expect![
                "cannot use the configuration /etc/dysno.toml, line 3: unknown field `rot` in container a, expected one of plugin, root"
            ],
        );
        check(
            "[container.a]\nplugin = \"postgress\"\n",
            expect![
                "cannot use the configuration /etc/dysno.toml, line 2: there is no plugin \"postgress\"; there are directory, postgres, sqlite"
            ],
        );
        check(
            "\n\n[group.g]\nunits = [\"nope:x\"]\n",
            expect![
                "cannot use the configuration /etc/dysno.toml, line 4: there is no container nope; there are directory, postgres, sqlite"
            ],
        );
        check(
            "[store]\ncompression = 99\n",
            expect![
                "cannot use the configuration /etc/dysno.toml, line 2: compression is a number from 1 to 19"
            ],
        );
        check(
            "[unit.nocolon]\n",
            expect![[
                r#"cannot use the configuration /etc/dysno.toml, line 1: "nocolon" is no unit address: it has no colon; expected CONTAINER:COMPONENT, such as postgres:main"#
            ]],
        );
    }
}
