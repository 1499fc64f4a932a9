//! Where the asynchronous database drivers enter blocking code.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Runtime};

/// Returns a runtime for one thread and the connections that it drives.
pub fn open() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs one future to its end on a runtime of its own.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    Ok(open()?.block_on(future))
}
