//! `fluxwatch completions` and `fluxwatch man`.

use std::io::Write;

use clap::CommandFactory;

use crate::cli::arguments::{Arguments, CompletionsCommand, ManCommand};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::stdout;

/// Prints what completes the commands in a shell.
pub fn complete(command: &CompletionsCommand) -> Result<Done, Failure> {
    let mut octets = Vec::new();
    clap_complete::generate(
        command.shell,
        &mut Arguments::command(),
        "fluxwatch",
        &mut octets,
    );
    let mut out = stdout();
    out.write_all(&octets)?;
    out.flush()?;
    Ok(Done::Well)
}

/// Writes the manual.
pub fn write(command: &ManCommand) -> Result<Done, Failure> {
    let arguments = Arguments::command();
    match &command.to {
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(arguments, folder))
                .map_err(|error| Failure::file(folder, &error))?;
        }
        None => {
            let mut octets = Vec::new();
            clap_mangen::Man::new(arguments).render(&mut octets)?;
            let mut out = stdout();
            out.write_all(&octets)?;
            out.flush()?;
        }
    }
    Ok(Done::Well)
}
