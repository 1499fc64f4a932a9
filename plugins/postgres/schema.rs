//! The schema of a database as SQL text that is the same whenever the schema is.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::command::Input;
use crate::postgres::manifest::{
    EVENT_TRIGGERS, MATERIALIZED_VIEWS, POST_DATA, PRE_DATA, write_file,
};
use crate::postgres::tools::{Workshop, child_failed};
use crate::{Capture, Error, Interrupt, Result};

/// SQL text of one section above this is refused: it is held in memory. A table takes about one kilobyte.
const SECTION_BYTES_MAX: usize = 1 << 30;

/// How long `pg_dump` waits for a lock that somebody's `ALTER TABLE` holds or queues for.
const LOCK_WAIT_SECONDS: u32 = 10;

/// The last line of the settings with which each text begins.
const PREAMBLE_END: &[u8] = b"\nSET row_security = off;\n";

/// How the text of an archive ends.
const EPILOGUE: &[u8] = b"--\n-- PostgreSQL database dump complete\n--\n";

/// The archive's entries, by when they are restored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Main,
    MaterializedViews,
    EventTriggers,
}

/// Dumps the schema as the exported snapshot sees it and writes its sections. Returns what `pg_dump` warned about.
pub(crate) fn capture(
    workshop: &Workshop,
    snapshot: &str,
    encoding: &str,
    interrupt: &Interrupt,
    capture: &dyn Capture,
) -> Result<String> {
    let archive = workshop.path("schema");
    let mut arguments = vec![
        "--format=custom".to_owned(),
        "--compress=0".to_owned(),
        "--section=pre-data".to_owned(),
        "--section=post-data".to_owned(),
        // Large objects are ours: where a dump lists them depends on its version.
        "--no-blobs".to_owned(),
        "--no-password".to_owned(),
        format!("--snapshot={snapshot}"),
        format!("--lock-wait-timeout={LOCK_WAIT_SECONDS}s"),
    ];
    if encoding != "SQL_ASCII" {
        arguments.push("--encoding=UTF8".to_owned());
    }
    let mut file = File::create(&archive).map_err(Error::file("create", &archive))?;
    let warnings = workshop
        .command("pg_dump", arguments)
        .run(Input::None, &mut file, interrupt)
        .map_err(child_failed)?;
    share(workshop, &archive)?;
    let sections = [
        ("pre-data", Pass::Main, PRE_DATA),
        ("post-data", Pass::Main, POST_DATA),
        ("post-data", Pass::MaterializedViews, MATERIALIZED_VIEWS),
        ("post-data", Pass::EventTriggers, EVENT_TRIGGERS),
    ];
    for (section, pass, path) in sections {
        let text = section_text(workshop, &archive, section, pass, interrupt)?;
        write_file(capture, path, &text)?;
    }
    Ok(warnings)
}

/// Lets the tools' user read what we wrote.
fn share(workshop: &Workshop, archive: &Path) -> Result<()> {
    let owner = workshop.command("pg_restore", [""; 0]).identity;
    if let Some(identity) = owner {
        std::os::unix::fs::chown(archive, Some(identity.uid), Some(identity.gid))
            .map_err(Error::file("give away", archive))?;
    }
    Ok(())
}

fn section_text(
    workshop: &Workshop,
    archive: &Path,
    section: &str,
    pass: Pass,
    interrupt: &Interrupt,
) -> Result<Vec<u8>> {
    let section = format!("--section={section}");
    let list = workshop
        .command("pg_restore", [section.as_ref(), "--list".as_ref(), archive.as_os_str()])
        .read(Input::None, SECTION_BYTES_MAX, interrupt)
        .map_err(child_failed)?;
    let list = filter(&list, pass);
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let list = workshop.write("list", &list)?;
    let text = workshop
        .command(
            "pg_restore",
            [
                section.as_ref(),
                "--file=-".as_ref(),
                "--use-list".as_ref(),
                list.as_os_str(),
                archive.as_os_str(),
            ],
        )
        .read(Input::None, SECTION_BYTES_MAX, interrupt)
        .map_err(child_failed)?;
    fs::remove_file(&list).map_err(Error::file("remove", &list))?;
    let text = body(&text).ok_or_else(|| Error::Snapshot {
        verb: "write",
        source: io::Error::other("pg_restore wrote a text of unknown form"),
    })?;
    Ok(text.to_vec())
}

/// Keeps the lines of an archive's list that belong to the pass: `215; 1259 16386 TABLE public t owner`.
fn filter(list: &[u8], pass: Pass) -> Vec<u8> {
    let mut kept = Vec::new();
    for line in list.split_inclusive(|&byte| byte == b'\n') {
        if line.first().is_some_and(u8::is_ascii_digit) && pass_of(line) == pass {
            kept.extend_from_slice(line);
        }
    }
    kept
}

fn pass_of(line: &[u8]) -> Pass {
    let description: Vec<_> = line.splitn(4, |&byte| byte == b' ').collect();
    let description = description.get(3).copied().unwrap_or_default();
    // `COMMENT - EVENT TRIGGER name`: comments and labels follow what they describe. After the dash stands the kind
    // again; an object of a schema has the schema's name in place of the dash.
    let attached = [&b"COMMENT - "[..], b"SECURITY LABEL - ", b"ACL - "]
        .iter()
        .find_map(|prefix| description.strip_prefix(*prefix));
    let kind = attached.unwrap_or(description);
    if kind.starts_with(b"MATERIALIZED VIEW DATA ") {
        Pass::MaterializedViews
    } else if kind.starts_with(b"EVENT TRIGGER ") {
        Pass::EventTriggers
    } else {
        Pass::Main
    }
}

/// Returns the text without what depends on versions and chance around it: the header with both versions, the
/// `\restrict` key that guards psql, and the settings, which our sessions have already.
fn body(text: &[u8]) -> Option<&[u8]> {
    let start = text.windows(PREAMBLE_END.len()).position(|w| w == PREAMBLE_END)?;
    let end = text.windows(EPILOGUE.len()).rposition(|w| w == EPILOGUE)?;
    let start = start + PREAMBLE_END.len();
    (start <= end).then(|| text[start..end].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_triggers_and_refreshes_have_passes_of_their_own() {
        let list = b";\n; Archive created at 2024\n;\n\
            5; 1259 2 TABLE public EVENT TRIGGER owner\n\
            6; 0 3 MATERIALIZED VIEW DATA public v owner\n\
            7; 3466 4 EVENT TRIGGER - log owner\n\
            8; 0 0 COMMENT - EVENT TRIGGER log owner\n";
        let main = filter(list, Pass::Main);
        assert_eq!(main, b"5; 1259 2 TABLE public EVENT TRIGGER owner\n");
        assert!(filter(list, Pass::MaterializedViews).starts_with(b"6;"));
        assert_eq!(filter(list, Pass::EventTriggers).iter().filter(|&&b| b == b'\n').count(), 2);
    }

    #[test]
    fn only_what_the_schema_says_is_kept() {
        let text = b"--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped by\n\n\
            SET statement_timeout = 0;\nSET row_security = off;\n\nCREATE TABLE t ();\n\n\n\
            --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n";
        assert_eq!(body(text), Some(&b"CREATE TABLE t ();"[..]));
        assert_eq!(body(b"nothing of the kind"), None);
    }
}
