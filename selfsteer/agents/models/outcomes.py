"""What became of a call that brought no answer: certainly not paid, or perhaps paid.

The error that an SDK raises cannot always tell: one within a stream has the status of the stream.
So the end of each attempt is noted below the SDK. A call that pays is one attempt, because the SDKs
repeat what may have been paid as readily as what was turned down; who asks again is `PaidCalls`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpx2

from selfsteer.agents.models.endpoint import Endpoint
from selfsteer.agents.models.errors import CallAmbiguous, CallRefused, ModelUnavailable
from selfsteer.agents.models.sentences import accident, has_cause, refusal
from selfsteer.agents.models.waits import wait_asked_for

CONNECT_SECONDS = 5.0

# Before these, no byte of a request has left.
_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)
# The client's errors are answered before a model runs, except for those that mean "too slow".
_TOO_SLOW = {408, 499}
_NOT_SERVED = {501, 503, 529}
# What is turned down for the time being, and what may only be starting.
_LATER = {429, 503, 529}
_NOT_THERE_YET = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)

_risks: ContextVar[list[bool] | None] = ContextVar("risks", default=None)


class NotingClient(httpx2.Client):
    """An HTTP client for the SDKs that notes of each attempt whether it may have been paid.

    Args:
        timeout: seconds without a byte after which a call is given up.
    """

    def __init__(self, timeout: float) -> None:
        limits = httpx2.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        # A request that is redirected would take its key and its words to another host.
        super().__init__(timeout=limits, follow_redirects=False)

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """As in `httpx2.Client`."""
        try:
            response = super().send(request, **options)
        except Exception as error:
            _note(not isinstance(error, _NEVER_SENT))
            raise
        _note(not certainly_unpaid(response.status_code))
        return response


def certainly_unpaid(status: int) -> bool:
    """Whether an answer with this HTTP status means that no model ran."""
    return (300 <= status < 500 and status not in _TOO_SLOW) or status in _NOT_SERVED


@contextmanager
def told_apart(endpoint: Endpoint, sdk_error: type[Exception]) -> Iterator[None]:
    """Turn what an SDK raises for one call through a `NotingClient` into our two outcomes.

    Args:
        endpoint: who was called.
        sdk_error: the base class of the SDK's errors.

    Raises:
        CallRefused: no attempt can have been paid.
        CallAmbiguous: some attempt may have been.
    """
    risks: list[bool] = []
    before = _risks.set(risks)
    try:
        yield
    except (httpx2.HTTPError, sdk_error) as error:
        raise _outcome(error, risks, endpoint) from error
    finally:
        _risks.reset(before)


def _note(risky: bool) -> None:
    risks = _risks.get()
    if risks is not None:
        risks.append(risky)


def _outcome(error: Exception, risks: list[bool], endpoint: Endpoint) -> ModelUnavailable:
    if any(risks):
        return CallAmbiguous(accident(endpoint, error))
    response = getattr(error, "response", None)
    if response is None:
        passing = has_cause(error, _NOT_THERE_YET)
        return CallRefused(refusal(endpoint, error), passing=passing)
    return CallRefused(
        refusal(endpoint, error),
        passing=response.status_code in _LATER,
        wait=wait_asked_for(response.headers),
    )
