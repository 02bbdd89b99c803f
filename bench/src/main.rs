//! Measures Floe beside what it is compared to: `floe-bench run [ROW …]`. Each figure is a ratio taken turn by turn in
//! one run; the absolute numbers stand beside it.

#![expect(clippy::print_stdout, reason = "a program for the terminal: standard output is its product")]

mod bare;
mod client;
mod copy_loop;
mod fanout;
mod memory;
mod nats;
mod quantiles;
mod questions;
mod report;
mod rows;
mod server;
mod session;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures rows (all without a name) and prints a table in Markdown.
    Run {
        /// Names of rows, as A1.
        rows: Vec<String>,
        /// The floe binary.
        #[arg(long, default_value = "target/release/floe")]
        floe: PathBuf,
        /// The nats-server binary; without it row A6 has no comparison.
        #[arg(long)]
        nats: Option<PathBuf>,
        /// A Python with the packages of bench/fastapi/requirements.txt; without it row D1 has no comparison.
        #[arg(long)]
        python: Option<PathBuf>,
        /// A Python with the packages of bench/bm25/requirements.txt; without it row E2 has no comparison.
        #[arg(long)]
        bm25: Option<PathBuf>,
        /// Where data is written: a real disk, not a memory file system.
        #[arg(long, default_value = "target/bench")]
        work: PathBuf,
        /// Turns of each comparison.
        #[arg(long, default_value_t = 3)]
        turns: usize,
        /// Seconds of each turn.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Gibibytes stored for row A5.
        #[arg(long, default_value_t = 10.0)]
        stored_gib: f64,
        /// Writes the table into this file too.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// The bare handler: reads a body, answers 202 with a fixed small JSON.
    Bare,
    /// Serves one file from the page cache over HTTP, as plainly as can be.
    Pipe {
        /// The file.
        file: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run { rows, floe, nats, python, bm25, work, turns, seconds, stored_gib, output } => {
            std::fs::create_dir_all(&work)?;
            let plan = rows::Plan { floe, nats, python, bm25, work, turns, seconds, stored_gib };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let text = runtime.block_on(rows::run(&plan, &rows))?;
            if let Some(output) = output {
                std::fs::write(output, &text)?;
            }
            println!("{text}");
            Ok(())
        }
        Command::Bare => bare::serve(),
        Command::Pipe { file } => bare::pipe(&file),
    }
}
