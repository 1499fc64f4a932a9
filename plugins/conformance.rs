//! The laws that every kind keeps.
