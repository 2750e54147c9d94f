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
    results: Callable[[str], str],
) -> str | None:
    """The id of a batch of `count` requests that bear a mark; None where none is found.

    Args:
        since: about when it was handed in.
        results: waits until the batch of an id has ended, and gives its results.
    """
    try:
        around = [batch.id for batch in _around(client, since) if _size(batch) == count]
    except _UNREADABLE:
        return None
    return next((name for name in around if _bears(name, mark, results)), None)


def _around(client: anthropic.Anthropic, since: datetime) -> Iterator[MessageBatch]:
    """The batches that were handed in about then; the list begins with the newest."""
    newest = client.messages.batches.list(limit=_A_PAGE)
    for batch in takewhile(lambda batch: batch.created_at >= since - SLACK, newest):
        if batch.created_at <= since + SLACK:
            yield batch


def _size(batch: MessageBatch) -> int:
    counts = batch.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired


def _bears(batch_id: str, mark: str, results: Callable[[str], str]) -> bool:
    try:
        return mark in results(batch_id)
    except ModelUnavailable:
        return False
