//! What each call of the client says of itself, with a broker that the test plays, and in paused time.

mod publish;
