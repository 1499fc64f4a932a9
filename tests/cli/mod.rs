//! The command line as its users see it: output, messages, exit codes.

mod commands;
mod demo;
mod documents;
mod ends;
mod help;
mod misuse;
mod output;
