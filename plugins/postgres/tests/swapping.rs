//! Swapping under fire.
