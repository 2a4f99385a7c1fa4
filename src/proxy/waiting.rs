//! What clients wait for.

/// What a held-back request waits for, apart from room for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    Nothing,
    /// All earlier replies: it takes another way.
    Replies,
    /// Whether Redis is reachable.
    Redis,
    /// The description of its command.
    Description,
    /// The id at Redis of the dedicated connection that it redirects to.
    Redirection,
    /// Whether Redis accepts its password.
    Check,
    /// A hook's decision.
    Hook,
    /// The replies on a dedicated connection that it only borrows for large ones.
    Return,
    /// Its dedicated connection to be set up.
    SetUp,
    /// A permit to request a large reply.
    Permit,
    /// The end of the walk through the cache that it or another client has begun.
    Walk,
    /// A quiet dedicated connection: the request goes over a shared one, to another node of the cluster.
    Quiet,
}
