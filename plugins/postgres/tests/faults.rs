//! Each failure is clear and leaves live state alone.
