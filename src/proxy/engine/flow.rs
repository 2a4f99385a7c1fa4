//! What happens to a request, and to the client's next one.

use super::super::dedicated::Loan;
use super::super::waiting::WaitsFor;

/// What happens to a request, and to the client's next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Flow {
    /// The request is handled.
    Continue,
    /// The request is handled, and the client is to be closed once its replies are sent.
    End,
    /// The request needs a dedicated connection.
    Leave,
    /// It needs a dedicated connection, to authenticate there.
    LeaveToAuthenticate,
    /// It needs a dedicated connection for this request only.
    LeaveToPass,
    /// The request is handled, and the client's next request waits for its reply.
    Alone,
    /// The reply is the client's own line of `CLIENT LIST`.
    Describe,
    /// The request needs a dedicated connection until it is answered.
    Borrow(Loan),
    /// The request has to wait, and is executed then.
    Wait(WaitsFor),
    /// The client is to be closed at once, without a reply.
    Abort,
}
