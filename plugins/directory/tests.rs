//! What a directory unit does, on real files.
