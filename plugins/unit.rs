//! The address of a state unit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `CONTAINER:COMPONENT`. The container's name starts with a letter and goes on with letters, digits, `-` and `_`;
/// the component is any text without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitAddress {
    container: String,
    component: String,
}

impl UnitAddress {
    /// Characters of the longest address: its file name in the store must fit into 255 bytes with its encoding.
    pub const COMPONENT_BYTES_MAX: usize = 4096;

    /// Returns the container.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// Returns the component.
    pub fn component(&self) -> &str {
        &self.component
    }
}

/// Returns whether `name` can name a container.
pub fn is_container_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// A text is no unit address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no colon.
    #[error(
        "{0:?} is no unit address: it has no colon; expected CONTAINER:COMPONENT, such as postgres:main"
    )]
    Colon(String),
    /// The container's name is not one.
    #[error(
        "{0:?} is no unit address: a container's name starts with a letter and holds letters, digits, - and _ only"
    )]
    Container(String),
    /// The component is not one.
    #[error(
        "{0:?} is no unit address: the component is empty, too long or holds control characters"
    )]
    Component(String),
}

impl FromStr for UnitAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (container, component) =
            text.split_once(':').ok_or_else(|| AddressError::Colon(text.to_owned()))?;
        if !is_container_name(container) {
            return Err(AddressError::Container(text.to_owned()));
        }
        let valid = !component.is_empty()
            && component.len() <= Self::COMPONENT_BYTES_MAX
            && !component.chars().any(char::is_control);
        if !valid {
            return Err(AddressError::Component(text.to_owned()));
        }
        Ok(Self { container: container.to_owned(), component: component.to_owned() })
    }
}

impl fmt::Display for UnitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.container, self.component)
    }
}

impl TryFrom<String> for UnitAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<UnitAddress> for String {
    fn from(unit: UnitAddress) -> Self {
        unit.to_string()
    }
}
