//! What the library tells the outside while it works.

/// Listens to a long operation. A progress bar is one listener, a test's recorder another.
pub trait Report: Sync {
    /// Something begins that may take long. `total_bytes` is an estimate of what it will go through.
    fn begin(&self, what: &str, total_bytes: Option<u64>);

    /// So many bytes more were gone through.
    fn advance(&self, bytes: u64);

    /// What began last has ended.
    fn end(&self);

    /// The user should know this, and the command exits with 3.
    fn warn(&self, warning: &str);

    /// The user may want to know this.
    fn note(&self, text: &str);
}
