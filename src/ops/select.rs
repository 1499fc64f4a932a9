//! Which snapshot a text means: an id's prefix, `UNIT@N`, `UNIT@latest` or `UNIT`.

use plugins::UnitAddress;

use super::error::{Error, Result};
use crate::host::Host;
use crate::report::Report;
use crate::store::{Access, Generation, GenerationKind, Root};

/// A shorter prefix of an id is more likely a mistake.
const PREFIX_DIGITS_MIN: usize = 6;

/// A snapshot, and the generation by which it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The snapshot.
    pub root: Root,
    /// The generation, where it was named by one.
    pub generation: Option<Generation>,
}

/// Finds the snapshot that `text` means.
pub fn select(host: &Host, text: &str) -> Result<Selected> {
    if text.contains(':') {
        let (unit, number) = parse_generation(text)?;
        return by_generation(host, &unit, number);
    }
    by_id(host, text)
}

/// Finds the snapshots that texts mean, after bringing the index up to date.
pub fn select_all(host: &Host, texts: &[String], report: &dyn Report) -> Result<Vec<Selected>> {
    let _session = host.session(Access::Shared, "select", report)?;
    texts.iter().map(|text| select(host, text)).collect()
}

/// Splits `UNIT@N`. A component may hold an `@` itself, so only the last one counts, and only before a number or
/// `latest`.
fn parse_generation(text: &str) -> Result<(UnitAddress, Option<u64>)> {
    let selector = |reason: String| Error::Selector { text: text.to_owned(), reason };
    let (unit, number) = match text.rsplit_once('@') {
        Some((unit, "latest")) => (unit, None),
        Some((unit, number))
            if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            let number = number.parse().map_err(|_| selector("the number is too large".into()))?;
            (unit, Some(number))
        }
        _ => (text, None),
    };
    let unit =
        unit.parse().map_err(|error: plugins::unit::AddressError| selector(error.to_string()))?;
    Ok((unit, number))
}

/// Finds a unit's generation; without a number the newest that is no safety snapshot.
pub(super) fn by_generation(
    host: &Host,
    unit: &UnitAddress,
    number: Option<u64>,
) -> Result<Selected> {
    host.kind_of(unit)?;
    let generations = host.index().generations_of(&unit.to_string())?;
    let found = match number {
        Some(number) => generations.iter().find(|generation| generation.number == number),
        None => generations
            .iter()
            .find(|generation| generation.kind != GenerationKind::Safety)
            .or_else(|| generations.first()),
    };
    let Some(generation) = found else {
        return Err(match number {
            Some(number) if !generations.is_empty() => {
                let known: Vec<_> = generations.iter().map(|g| g.number.to_string()).collect();
                Error::UnknownGeneration { unit: unit.clone(), number, known: known.join(", ") }
            }
            _ => Error::NoGeneration { unit: unit.clone() },
        });
    };
    let roots = host.index().roots_of(&generation.snapshot)?;
    let root = roots
        .iter()
        .find(|root| root.unit == generation.unit)
        .or_else(|| roots.first())
        .ok_or_else(|| Error::UnknownSnapshot { prefix: generation.snapshot.to_string() })?;
    Ok(Selected { root: root.clone(), generation: Some(generation.clone()) })
}

fn by_id(host: &Host, prefix: &str) -> Result<Selected> {
    let is_hex = prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if prefix.len() < PREFIX_DIGITS_MIN || prefix.len() > 64 || !is_hex {
        return Err(Error::Selector {
            text: prefix.to_owned(),
            reason: format!(
                "expected UNIT, UNIT@N or at least {PREFIX_DIGITS_MIN} digits of a snapshot's id"
            ),
        });
    }
    let mut roots = host.index().roots()?;
    roots.retain(|root| root.snapshot.to_string().starts_with(prefix));
    let mut ids: Vec<_> = roots.iter().map(|root| root.snapshot.to_string()).collect();
    ids.dedup();
    match (roots.into_iter().next(), ids.len()) {
        (Some(root), 1) => Ok(Selected { root, generation: None }),
        (None, _) => Err(Error::UnknownSnapshot { prefix: prefix.to_owned() }),
        _ => Err(Error::Ambiguous { prefix: prefix.to_owned(), known: ids.join(", ") }),
    }
}
