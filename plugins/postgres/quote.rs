//! SQL text from foreign names and values.

/// Returns a name as an SQL identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns a value as an SQL string, whatever `standard_conforming_strings` says. For statements that take no
/// parameters.
pub(crate) fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// Returns a schema's object as an SQL identifier.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_does_not_end_an_identifier() {
        assert_eq!(qualified("a\"b", "select"), "\"a\"\"b\".\"select\"");
    }

    #[test]
    fn neither_quote_nor_backslash_ends_a_literal() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\'"), " E'\\\\'''");
    }
}
