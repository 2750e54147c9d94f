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

from selfsteer.agents.models.errors import ModelUnavailable

# Between the clocks of two machines.
SLACK = timedelta(hours=1)
_A_PAGE = 100  # the most that the API gives at once
# What a list that is none ends in: the SDK gives text, or an object without fields.
_UNREADABLE = (anthropic.AnthropicError, httpx2.HTTPError, ValueError, TypeError, AttributeError)


def look_for(
    client: anthropic.Anthropic,
    mark: str,
    count: int,
    since: datetime,
    wait: Callable[[str], None],
) -> str | None:
    """The id of a batch of `count` requests that bear a mark; None where none is found.

    Args:
        since: about when it was handed in.
        wait: returns when the batch of this id has ended.
    """
    try:
        around = [batch.id for batch in _around(client, since) if _size(batch) == count]
    except _UNREADABLE:
        return None
    return next((name for name in around if _bears(client, name, mark, wait)), None)


def _around(client: anthropic.Anthropic, since: datetime) -> Iterator[MessageBatch]:
    """The batches that were handed in about then; the list begins with the newest."""
    newest = client.messages.batches.list(limit=_A_PAGE)
    for batch in takewhile(lambda batch: batch.created_at >= since - SLACK, newest):
        if batch.created_at <= since + SLACK:
            yield batch


def _size(batch: MessageBatch) -> int:
    counts = batch.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired


def _bears(
    client: anthropic.Anthropic, batch_id: str, mark: str, wait: Callable[[str], None]
) -> bool:
    raw = client.messages.batches.with_raw_response
    try:
        wait(batch_id)
        return mark in raw.results(batch_id).text()
    except (ModelUnavailable, anthropic.AnthropicError, httpx2.HTTPError, ValueError):
        return False
