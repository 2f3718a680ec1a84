//! Enhanced authentication (5.0): a method of challenge and response, in place of a password.

mod scram;

use std::error::Error as StdError;
use std::sync::Arc;

pub use self::scram::ScramSha256;

/// Our side of an authentication method.
///
/// For each connection, and each time that the client authenticates again, the calls come in this order:
/// [`start`](Self::start), a [`challenge`](Self::challenge) for each AUTH of the server, and
/// [`finish`](Self::finish) when the server is content. A connection may end at any point; the next one begins
/// with `start`.
///
/// A call may take as long as hashing a password takes: it is made on a thread where it may block.
pub trait Authenticator: Send + 'static {
    /// The name of the method, such as `SCRAM-SHA-256`. Always the same. `[MQTT-4.12.0-5]`
    fn method(&self) -> &str;

    /// The data of the CONNECT, or of the AUTH that begins to authenticate again.
    ///
    /// # Errors
    /// No attempt is made to connect, or the connection is closed.
    fn start(&mut self) -> Result<Vec<u8>, AuthenticationError>;

    /// The answer to an AUTH of the server; `data` is empty where it had none.
    ///
    /// # Errors
    /// The connection is closed.
    fn challenge(&mut self, data: &[u8]) -> Result<Vec<u8>, AuthenticationError>;

    /// The server is content, and `data` is what came with its CONNACK, or with its last AUTH. Here a method
    /// that authenticates the server, too, checks its proof.
    ///
    /// # Errors
    /// The connection is closed, before anything is sent on it.
    fn finish(&mut self, data: Option<&[u8]>) -> Result<(), AuthenticationError>;
}

/// Why authentication failed, on our side. Cheap to clone; holds no secrets.
///
/// What a server refuses by a reason code is not here.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The server says in the words of the method why it refuses, for example `unknown-user`.
    #[error("the server refuses the authentication: {0}")]
    Refused(Arc<str>),
    /// The server has not shown that it knows the password: it may be another one in its place.
    #[error("the server did not prove that it knows the password")]
    ServerUnproven,
    /// What the server sent is not what the method demands.
    #[error("the server's authentication data is wrong: {0}")]
    Malformed(&'static str),
    /// The server wants the password hashed so weakly that whoever listens could guess it, or so often that it
    /// would take long.
    #[error(
        "the server wants the password hashed {0} times, which is not within {min} and {max}",
        min = scram::ITERATIONS_MIN, max = scram::ITERATIONS_MAX
    )]
    Iterations(u64),
    /// The server sent a step of the authentication that must not come now.
    #[error("the server sent an authentication step out of turn")]
    OutOfTurn,
    /// The user name or the password cannot be sent.
    #[error("the {field} {problem}")]
    Unusable {
        /// Which of them.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The cause of another method, or of the system.
    #[error("cannot authenticate: {0}")]
    Failed(Arc<dyn StdError + Send + Sync>),
}

impl AuthenticationError {
    /// A failure with its cause, for methods of your own.
    pub fn failed(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Failed(Arc::from(cause.into()))
    }
}
