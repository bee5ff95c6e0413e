//! `fluxwatch config`.

use std::io::Write;
use std::path::Path;

use crate::cli::arguments::ConfigCommand;
use crate::cli::failure::{Done, Failure};
use crate::cli::output::stdout;
use crate::cli::session::load_config;
use crate::config::TEMPLATE;
use crate::pipeline::check_parts;

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ConfigCommand) -> Result<Done, Failure> {
    let mut out = stdout();
    match command {
        ConfigCommand::Template => out.write_all(TEMPLATE.as_bytes())?,
        ConfigCommand::Show => {
            let config = load_config(config)?;
            let text = toml::to_string_pretty(&config.written)
                .map_err(|fault| Failure::failed(fault.to_string()))?;
            writeln!(out, "# {}", config.path.display())?;
            out.write_all(text.as_bytes())?;
        }
        ConfigCommand::Check => {
            let config = load_config(config)?;
            for note in check_parts(&config)?.notes() {
                writeln!(std::io::stderr(), "note: {note}")?;
            }
            let mail = if config.mail.is_some() {
                "mail goes out"
            } else {
                "no mail is configured"
            };
            writeln!(
                out,
                "{}: sound; {} sources, {} keys, {mail}",
                config.path.display(),
                config.written.source.len(),
                config.keys.len()
            )?;
        }
    }
    out.flush()?;
    Ok(Done::Well)
}
