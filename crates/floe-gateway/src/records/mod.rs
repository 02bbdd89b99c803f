//! Records in and out: `/topics/{topic}/records`.

mod batch;
mod envelope;
mod lines;
mod print;
mod produce;
mod read;
mod stream;

pub(crate) use batch::{__path_append_batch, __path_read_batch, append_batch, read_batch};
pub(crate) use envelope::{Envelope, json_content_type, key_bytes, parse_headers};
pub(crate) use lines::{count, lines};
pub(crate) use print::{
    RecordStyle, write_headers, write_key, write_number, write_record, write_str, write_value,
};
pub(crate) use produce::{__path_produce, produce};
pub(crate) use read::{__path_read, read};
