//! What tests share.

pub(crate) mod faulty;
pub(crate) mod host;
pub(crate) mod normal;
pub(crate) mod postgres;
pub(crate) mod sandbox;
pub(crate) mod store;
