//! Splits SQL text into statements, as psql does, but knows no commands of psql.

/// Returns the statements of a text that the server's own tools wrote. Comments before a statement go with it.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let mut scanner = Scanner { text, position: 0 };
    let mut statements = Vec::new();
    while let Some(statement) = scanner.statement() {
        statements.push(statement);
    }
    statements
}

struct Scanner<'a> {
    text: &'a str,
    position: usize,
}

/// What of the statement so far decides whether a semicolon ends it.
#[derive(Default)]
struct State {
    /// Open parentheses: the actions of a rule stand in some.
    n_parentheses: usize,
    /// Open `BEGIN ATOMIC` and the `CASE`s in it.
    n_blocks: usize,
    previous_word: String,
    is_empty: bool,
}

impl<'a> Scanner<'a> {
    fn statement(&mut self) -> Option<&'a str> {
        let start = self.position;
        let mut state = State { is_empty: true, ..State::default() };
        while let Some(byte) = self.byte(0) {
            match byte {
                b'-' if self.byte(1) == Some(b'-') => self.skip_past("\n"),
                b'/' if self.byte(1) == Some(b'*') => self.comment(),
                b';' if state.n_parentheses == 0 && state.n_blocks == 0 => {
                    self.position += 1;
                    return Some(self.text[start..self.position].trim());
                }
                _ => self.token(byte, &mut state),
            }
        }
        let rest = self.text[start..].trim();
        (!state.is_empty).then_some(rest)
    }

    fn token(&mut self, byte: u8, state: &mut State) {
        state.is_empty &= byte.is_ascii_whitespace();
        match byte {
            b'\'' => self.quoted(b'\'', false),
            b'"' => self.quoted(b'"', false),
            b'$' => self.dollar_quoted(),
            b'(' => {
                state.n_parentheses += 1;
                self.position += 1;
            }
            b')' => {
                state.n_parentheses = state.n_parentheses.saturating_sub(1);
                self.position += 1;
            }
            _ if is_word(byte) => self.word(state),
            _ => self.position += 1,
        }
    }

    fn word(&mut self, state: &mut State) {
        let start = self.position;
        // A dollar sign may stand inside a word and then quotes nothing.
        while self.byte(0).is_some_and(|byte| is_word(byte) || byte == b'$') {
            self.position += 1;
        }
        let word = self.text[start..self.position].to_ascii_uppercase();
        match word.as_str() {
            "E" if self.byte(0) == Some(b'\'') => self.quoted(b'\'', true),
            "ATOMIC" if state.previous_word == "BEGIN" => state.n_blocks += 1,
            "CASE" if state.n_blocks > 0 => state.n_blocks += 1,
            "END" => state.n_blocks = state.n_blocks.saturating_sub(1),
            _ => {}
        }
        state.previous_word = word;
    }

    /// Skips a quoted text; the cursor stands on its opening quote. A doubled quote ends one and opens the next.
    fn quoted(&mut self, quote: u8, with_escapes: bool) {
        self.position += 1;
        while let Some(byte) = self.byte(0) {
            self.position += 1;
            if byte == b'\\' && with_escapes {
                self.position = (self.position + 1).min(self.text.len());
            } else if byte == quote {
                if self.byte(0) != Some(quote) {
                    return;
                }
                self.position += 1;
            }
        }
    }

    fn dollar_quoted(&mut self) {
        let rest = &self.text[self.position..];
        let n_tag = rest[1..].bytes().take_while(|&byte| is_word(byte)).count();
        let is_tag =
            rest.as_bytes().get(n_tag + 1) == Some(&b'$') && !rest.as_bytes()[1].is_ascii_digit();
        if !is_tag {
            self.position += 1;
            return;
        }
        let delimiter = &rest[..n_tag + 2];
        self.position += delimiter.len();
        self.skip_past(delimiter);
    }

    fn comment(&mut self) {
        let mut n_open = 0;
        loop {
            let rest = &self.text.as_bytes()[self.position..];
            if rest.starts_with(b"/*") {
                n_open += 1;
                self.position += 2;
            } else if rest.starts_with(b"*/") {
                n_open -= 1;
                self.position += 2;
            } else if rest.is_empty() {
                return;
            } else {
                self.position += 1;
            }
            if n_open == 0 {
                return;
            }
        }
    }

    fn skip_past(&mut self, mark: &str) {
        let rest = &self.text[self.position..];
        self.position += rest.find(mark).map_or(rest.len(), |at| at + mark.len());
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.position + ahead).copied()
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(split(text), expected);
    }

    #[test]
    fn a_semicolon_ends_a_statement() {
        check("SELECT 1; SELECT 2;\n", &["SELECT 1;", "SELECT 2;"]);
        check("SELECT 1", &["SELECT 1"]);
        check(" \n-- nothing; here\n/* nor; here */", &[]);
    }

    #[test]
    fn a_semicolon_in_quotes_ends_nothing() {
        for text in [
            "SELECT 'a;''b;';",
            "SELECT '\\';",
            "SELECT E'\\';';",
            "SELECT E'\\\\', ';';",
            "SELECT \"a;\"\";b\";",
            "SELECT $$;$$, $a$;$$;$b$;$a$, $ü$;$ü$;",
            "SELECT /* a; /* b; */ c; */ 1;",
            "SELECT a$1, b$x$ FROM t;",
            "SELECT 1 -- '; \"\n;",
            "SELECT '-- ', '/*';",
        ] {
            check(&format!("{text}\nSELECT 2;"), &[text, "SELECT 2;"]);
        }
    }

    #[test]
    fn the_actions_of_a_rule_stay_together() {
        let rule = "CREATE RULE r AS ON INSERT TO t DO ( DELETE FROM a; DELETE FROM b; );";
        check(&format!("{rule} SELECT 1;"), &[rule, "SELECT 1;"]);
    }

    #[test]
    fn the_body_of_an_sql_function_stays_together() {
        let body = "CREATE FUNCTION f(begin int) RETURNS int LANGUAGE sql\n BEGIN ATOMIC\n SELECT CASE WHEN 1=1 \
                    THEN (CASE WHEN true THEN 2 END) END;\n SELECT \"end\";\nEND;";
        check(&format!("{body}\nSELECT 1;"), &[body, "SELECT 1;"]);
    }

    #[test]
    fn a_word_is_no_block_outside_of_one() {
        check(
            "SELECT CASE WHEN true THEN 1 END; SELECT 1;",
            &["SELECT CASE WHEN true THEN 1 END;", "SELECT 1;"],
        );
    }
}
