//! What the tests share.

pub mod faulty;
pub mod history;
pub mod services;
