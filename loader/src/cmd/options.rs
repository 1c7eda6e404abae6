//! The options of whoever takes feeds in: `load` and `follow`.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use usher_index::build::{DEFAULT_MEMORY_BYTES, MIN_MEMORY_BYTES};
use usher_index::{IdType, Time};

use super::Common;
use super::policy::PolicyName;
use crate::feed::{Columns, Format, Shape};
use crate::pipeline::Percent;
use crate::time;

/// What is to be known about feeds before their bytes are read.
#[derive(Args)]
pub(super) struct FeedOptions {
    #[command(flatten)]
    pub(super) common: Common,
    /// The source that delivers them, as the charter names it.
    #[arg(long, env = "USHER_SOURCE", value_name = "NAME")]
    pub(super) source: String,
    /// The data charter to keep from now on.
    #[arg(long, env = "USHER_CHARTER", value_name = "FILE")]
    pub(super) charter: Option<PathBuf>,
    /// The columns of files without a header line, such as visitor,segment,expires; `_` leaves a field out.
    #[arg(long, value_name = "LIST")]
    columns: Option<Columns>,
    /// With --columns: the files have a header line all the same; pass over it.
    #[arg(long, requires = "columns")]
    header: bool,
    /// The format [default: told by the file's name, else by its first line].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The type of ids that do not name theirs.
    #[arg(long, env = "USHER_ID_TYPE", value_name = "TYPE", default_value_t, value_parser = IdType::new)]
    pub(super) id_type: IdType,
    /// When rows were observed that do not say so [default: when they are received].
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(super) as_of: Option<Time>,
    /// The share of rows that may be refused before a feed fails whole.
    #[arg(long, env = "USHER_MAX_REFUSED", value_name = "PERCENT", default_value_t)]
    pub(super) max_refused: Percent,
    /// Memory for the load, such as 512MiB; rows beyond half of it wait in a temporary file in the data folder.
    #[arg(long, env = "USHER_MEMORY", value_name = "SIZE", default_value_t = ByteSize(DEFAULT_MEMORY_BYTES), value_parser = memory)]
    pub(super) memory: ByteSize,
    /// The form of the segments' sets [default: as the index has it, compact for a new one].
    #[arg(long, env = "USHER_POLICY", value_name = "POLICY", value_enum)]
    pub(super) policy: Option<PolicyName>,
}

impl FeedOptions {
    /// How their bytes are to be read.
    pub(super) fn shape(&self) -> Shape {
        Shape { format: self.format, columns: self.columns.clone(), header: self.header }
    }
}

fn memory(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse()?;
    let least = ByteSize(MIN_MEMORY_BYTES);
    if size < least { Err(format!("a load takes {least} at least")) } else { Ok(size) }
}
