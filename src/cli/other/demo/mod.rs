//! `dysno demo`

mod shop;

use std::env;
use std::fs;
use std::path::Path;

use clap::Args;
use plugins::command::{Command, Input};
use serde_json::json;
use shop::Shop;
use tempfile::TempDir;

use crate::cli::app::{App, Format};
use crate::cli::failure::{Failure, Result};

/// Show a snapshot and a restore on a throw-away database and directory
///
/// Makes a SQLite database and a directory in a temporary folder, captures them, wrecks them, brings them back and proves
/// that they are what they were. Every command that it prints is really run. It touches nothing else, needs no server and
/// no configuration, and removes the folder at the end.
#[derive(Args)]
#[command(after_help = "Example: dysno demo")]
pub(in crate::cli) struct Demo {
    /// Leave the temporary folder where it is
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let top = env::temp_dir();
        let folder = tempfile::Builder::new().prefix("dysno-demo-").tempdir_in(&top);
        let mut folder = folder.map_err(Failure::file("make a folder in", top))?;
        folder.disable_cleanup(self.keep);
        let proved = Stage::build(app, &folder)?.play()?;
        let path = folder.path().display().to_string();
        if app.format() == Format::Json {
            let kept = self.keep.then_some(path);
            return app.print_json(&json!({ "proved": proved, "folder": kept }));
        }
        app.out.line("\nWhat this proved:")?;
        for claim in &proved {
            app.out.line(format!("  - {claim}"))?;
        }
        match self.keep {
            true => app.out.line(format!(
                "\nAll of it is still there: export DYSNO_STATE_DIR={path}/state; dysno generations"
            ))?,
            false => app.out.line(format!("\nThe folder {path} is removed."))?,
        }
        app.out.line(
            "To go on with your own state: dysno plugins; dysno snapshot UNIT; dysno --help",
        )?;
        Ok(())
    }
}

/// The throw-away host.
struct Stage<'a> {
    app: &'a App,
    folder: &'a Path,
    shop: Shop,
    proved: Vec<&'static str>,
}

impl<'a> Stage<'a> {
    fn build(app: &'a App, folder: &'a TempDir) -> Result<Self> {
        let folder = folder.path();
        let shop = Shop::open(folder)?;
        // So that the configuration of this host has no part in it.
        let config = folder.join("dysno.toml");
        fs::write(&config, "").map_err(Failure::file("write", config))?;
        Ok(Self { app, folder, shop, proved: Vec::new() })
    }

    fn play(mut self) -> Result<Vec<&'static str>> {
        let database = format!("sqlite:{}", self.shop.database().display());
        let uploads = format!("directory:{}", self.shop.uploads().display());
        let both = [database.as_str(), uploads.as_str()];

        self.tell("A small shop: a SQLite database and a directory of uploads.")?;
        let before = self.shop.digest()?;
        self.tell(&self.shop.describe()?)?;
        self.dysno(&[&["snapshot"], &both[..], &["--reason", "before the upgrade"]].concat())?;
        self.check("a snapshot leaves the live state alone", self.shop.digest()? == before)?;

        self.tell(
            "\nThe upgrade goes wrong: it drops a table, deletes customers, and loses files.",
        )?;
        self.shop.wreck()?;
        self.tell(&self.shop.describe()?)?;
        self.check("the state was really wrecked", self.shop.digest()? != before)?;
        self.dysno(&[&["snapshot"], &both[..], &["--reason", "after the upgrade"]].concat())?;
        self.dysno(&["generations"])?;
        self.dysno(&["diff", &format!("{uploads}@1"), &uploads])?;

        self.tell("\nSomebody uploads one more file, which nobody captured. Then all goes back.")?;
        let late = self.shop.add_late_upload()?;
        self.dysno(&["restore", &format!("{database}@1"), "--yes"])?;
        self.dysno(&["restore", &format!("{uploads}@1"), "--yes"])?;
        self.tell(&self.shop.describe()?)?;
        let claim = "every row, file, mode and link came back as it was";
        self.check(claim, self.shop.digest()? == before)?;
        let found = self.dysno(&["cat", &format!("{uploads}@3"), &late.name])?;
        let claim = "what was there before the restore was captured first";
        self.check(claim, found == late.content)?;

        self.tell("\nThe same state again costs no space, and old generations can go.")?;
        self.dysno(&[&["snapshot"], &both[..], &["--reason", "back to normal"]].concat())?;
        self.dysno(&["gc", "--keep-last", "1"])?;
        self.dysno(&["verify", "--read-data"])?;
        self.dysno(&["restore", &database, "--yes"])?;
        let claim = "garbage collection left what it was to keep, every byte of it verified";
        self.check(claim, self.shop.digest()? == before)?;
        Ok(self.proved)
    }

    fn tell(&self, text: &str) -> Result<()> {
        match self.app.format() {
            Format::Text => Ok(self.app.out.line(text)?),
            Format::Json => Ok(()),
        }
    }

    fn check(&mut self, claim: &'static str, holds: bool) -> Result<()> {
        if !holds {
            return Err(Failure::Demo { claim: claim.to_owned(), source: None });
        }
        self.proved.push(claim);
        Ok(())
    }

    /// Runs a command of this program as a user would, and returns what it wrote.
    fn dysno(&self, arguments: &[&str]) -> Result<String> {
        let line = shell_line(arguments);
        self.tell(&format!("\n$ {line}"))?;
        let program = env::current_exe().map_err(Failure::file("find", "/proc/self/exe"))?;
        let mut command = Command::new(program, arguments);
        let environment = [("DYSNO_STATE_DIR", "state"), ("DYSNO_CONFIG", "dysno.toml")];
        command.environment = environment
            .map(|(name, file)| (name.to_owned(), self.folder.join(file).into_os_string()))
            .to_vec();
        command.environment.extend(env::var_os("TZ").map(|zone| ("TZ".to_owned(), zone)));
        let mut output = Vec::new();
        let interrupt = &self.app.context().interrupt;
        let ran = command.run(Input::None, &mut output, interrupt);
        let messages = ran.map_err(|error| Failure::Demo {
            claim: format!("`{line}` succeeds"),
            source: Some(Box::new(error)),
        })?;
        let output = String::from_utf8_lossy(&output).into_owned();
        for text in [output.trim_end(), &messages] {
            if !text.is_empty() {
                self.tell(text)?;
            }
        }
        Ok(output)
    }
}

/// Returns a command as it is typed.
fn shell_line(arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|argument| match argument.contains(' ') {
        true => format!("'{argument}'"),
        false => (*argument).to_owned(),
    });
    format!("dysno {}", quoted.collect::<Vec<_>>().join(" "))
}
