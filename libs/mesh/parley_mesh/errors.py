"""nats-py's and JetStream's failures as the mesh's own errors: translated once, at this edge."""

from __future__ import annotations

import nats.errors
import nats.js.errors

from parley_proto.errors import (
    AmbiguousCommitError,
    ConflictError,
    ParleyError,
    PermanentError,
    StreamFullError,
    TransientError,
)

_CONFLICT = {10071, 10164}
_AMBIGUOUS = {10201}
_FULL = {10077, 10023, 10047}
# As many batches are open as a stream may have, or the server.
_BUSY = {10210, 10211}
NOT_FOUND = 10037


def from_api(subject: str, err_code: int, description: str) -> ParleyError:
    """The error behind a JetStream error code (nats.md, 'One transaction')."""
    if err_code in _CONFLICT:
        return ConflictError(f"Somebody else has written {subject} since it was read.")
    if err_code in _AMBIGUOUS:
        return AmbiguousCommitError(f"A message of the batch that ends with {subject} is already in the log.")
    if err_code in _FULL:
        return StreamFullError("The log is full: new messages are refused until there is room in it again.")
    if err_code in _BUSY:
        return TransientError("The log has as many batches open as it may have: try again.", code="log_busy")
    return TransientError(f"The log refused {subject}: {description} ({err_code}).", code="log_refused")


def from_client(subject: str, error: Exception) -> ParleyError:
    """The error behind an exception of nats-py; a timeout of a write never means 'not stored'."""
    if isinstance(error, nats.errors.NoRespondersError | nats.js.errors.NoStreamResponseError):
        return TransientError(f"Nobody answers on {subject} just now.", code="no_responders")
    if isinstance(error, nats.errors.TimeoutError | TimeoutError):
        return AmbiguousCommitError(f"No answer from {subject} in time.", code="timeout")
    if isinstance(error, nats.errors.MaxPayloadError):
        return PermanentError(f"The message for {subject} is larger than the server takes.", code="too_large")
    return TransientError(f"NATS failed on {subject}: {error or type(error).__name__}.", code="nats")


CLIENT_ERRORS = (nats.errors.Error, TimeoutError, ConnectionError)
