//! `floe check`.

use std::path::PathBuf;

use clap::Args;

use crate::check::{Detail, check};

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// A data directory, or a configuration file.
    path: PathBuf,
    /// Print what is in a data directory, entry by entry.
    #[arg(long)]
    dump: bool,
}

impl CheckArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        check(&self.path, if self.dump { Detail::Everything } else { Detail::Summary })
    }
}
