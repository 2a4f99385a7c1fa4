//! What clients wait for.

/// What a held-back request waits for, apart from room for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    Nothing,
    /// All earlier replies, because the request goes over another connection.
    Replies,
    /// Whether Redis is reachable.
    Redis,
    /// The description of its command.
    Description,
    /// The id at Redis of the dedicated connection that the client redirects to.
    Redirection,
    /// Redis's answer to the check of the client's password.
    Check,
    /// A hook's decision.
    Hook,
    /// The replies on the dedicated connection that the client borrows for large replies.
    Return,
    /// The setup of its dedicated connection.
    SetUp,
    /// A permit to request a large reply.
    Permit,
    /// The end of the walk through the cache that this or another client has begun.
    Walk,
    /// All replies on the dedicated connection, because the request goes over a shared connection to another node of
    /// the cluster.
    Quiet,
}
