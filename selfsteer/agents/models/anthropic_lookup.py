"""Finding a message batch of which nobody wrote down the name, by the mark that its requests bear.

Whoever hands a batch in may die, or lose the connection, before the name arrives. The provider's
list shows names, times and sizes; what was asked shows only in the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import takewhile

import anthropic
import httpx2
from anthropic.types.messages import MessageBatch

from selfsteer.agents.models.endpoint import Endpoint
from selfsteer.agents.models.errors import BatchGone, CallAmbiguous

# Between the clocks of two machines.
SLACK = timedelta(hours=1)
_A_PAGE = 100  # the most that the API gives at once
# What a list that is none ends in: the SDK gives text, or an object without fields.
_NO_LIST = (TypeError, AttributeError)
# What asking ends in that may go well later; the rest of 4xx and 501 is a server without a list.
_NOT_NOW = (anthropic.AnthropicError, httpx2.HTTPError, ValueError)
_ANOTHER_KEY, _PASSING = {401, 403}, {408, 429}


def look_for(
    client: anthropic.Anthropic,
    endpoint: Endpoint,
    mark: str,
    count: int,
    since: datetime,
    results: Callable[[str], str],
) -> str | None:
    """The id of a batch of `count` requests that bear a mark; None where none is found.

    Args:
        since: about when it was handed in.
        results: waits until the batch of an id has ended, and gives its results.

    Raises:
        CallAmbiguous: there may be one, but the list, or the results of a batch that may be the
            one, cannot be had now.
    """
    try:
        around = [batch.id for batch in _around(client, since) if _size(batch) == count]
    except _NO_LIST:
        return None
    except _NOT_NOW as error:
        if _has_no_list(error):
            return None
        raise _does_not_say(endpoint, error) from error
    kept_back: CallAmbiguous | None = None
    for name in around:
        try:
            if mark in results(name):
                return name
        except BatchGone:
            continue
        except CallAmbiguous as error:
            kept_back = error
    if kept_back is not None:
        raise _does_not_say(endpoint, kept_back) from kept_back
    return None


def _around(client: anthropic.Anthropic, since: datetime) -> Iterator[MessageBatch]:
    """The batches that were handed in about then; the list begins with the newest."""
    newest = client.messages.batches.list(limit=_A_PAGE)
    for batch in takewhile(lambda batch: batch.created_at >= since - SLACK, newest):
        if batch.created_at <= since + SLACK:
            yield batch


def _size(batch: MessageBatch) -> int:
    counts = batch.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired


def _has_no_list(error: Exception) -> bool:
    """Whether a server answered for good that it has no such list."""
    if not isinstance(error, anthropic.APIStatusError):
        return False
    status = error.status_code
    return status == 501 or (status < 500 and status not in _ANOTHER_KEY | _PASSING)


def _does_not_say(endpoint: Endpoint, error: Exception) -> CallAmbiguous:
    status = getattr(error, "status_code", None) or getattr(error.__cause__, "status_code", None)
    why = "" if status is None else f" (status {status})"
    if status in _ANOTHER_KEY:
        why = f" (status {status}; the key in {endpoint.key_variable} may not ask)"
    label = endpoint.label[0].upper() + endpoint.label[1:]
    return CallAmbiguous(f"{label} does not say now whether it took a batch{why}.")
