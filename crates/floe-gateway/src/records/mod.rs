//! Records in and out: `/topics/{topic}/records`.

mod envelope;
mod lines;
mod print;
mod produce;
mod read;
mod stream;

pub(crate) use envelope::{Envelope, json_content_type, key_bytes, parse_headers};
pub(crate) use lines::{count, lines};
pub(crate) use print::{RecordStyle, write_key, write_number, write_record, write_str, write_value};
pub(crate) use produce::{__path_produce, produce};
pub(crate) use read::{__path_read, read};
