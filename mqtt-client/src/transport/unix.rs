//! Unix domain sockets.

use std::path::Path;

use tokio::net::UnixStream;

use super::{ConnectError, Connection, Step};

pub(super) async fn connect(path: &Path) -> Result<Box<dyn Connection>, ConnectError> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(ConnectError::io(Step::Connect, path.display(), &error)),
    }
}
