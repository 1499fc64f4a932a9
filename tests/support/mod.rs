//! What tests share.

pub(crate) mod faulty;
pub(crate) mod host;
pub(crate) mod store;
