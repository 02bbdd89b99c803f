//! The binary: command line, configuration, wiring, start and stop in order. No domain code.

mod check;
mod cli;
mod config;
mod consume;
mod demo;
mod exit;
mod migrate;
mod output;
mod serve;
mod trial;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(cli.run());
            // A read of standard input that still blocks must not keep the program.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(anyhow::Error::new(error).context("cannot start the runtime")),
    };
    exit::code(result)
}
