"""Waiting for a message batch, and finding each request's answer in its results.

From the moment that a batch is accepted it is being paid for, so whatever goes wrong here may have
been paid; its results stay with the provider for weeks and can be fetched again by the id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import anthropic
import httpx2
from pydantic import BaseModel, ValidationError

from selfsteer.agents.models.endpoint import Endpoint
from selfsteer.agents.models.errors import (
    BatchGone,
    CallAmbiguous,
    CallRefused,
    ModelUnavailable,
)
from selfsteer.agents.models.sentences import server_says

_T = TypeVar("_T")

_WITHOUT_ANSWER = {
    "errored": "was turned down",
    "expired": "was not reached before the batch expired",
    "canceled": "was cancelled",
}
# No such batch, for this key at least.
_GONE = {404, 410}


class _Batch(BaseModel):
    id: str


def named(mark: str, place: int) -> str:
    """The `custom_id` of a request: what its batch is known by, and its place there."""
    return f"{mark}-{place}"


def read_batch_id(body: str) -> str:
    """The name of a batch that was accepted.

    Raises:
        CallAmbiguous: the body does not say it.
    """
    try:
        return _Batch.model_validate_json(body).id
    except ValidationError as error:
        raise CallAmbiguous(
            "The Anthropic endpoint took a batch without naming it; it may have been paid, so look "
            "for it in the account before asking again."
        ) from error


def wait_for_end(
    client: anthropic.Anthropic,
    endpoint: Endpoint,
    batch_id: str,
    poll_seconds: float,
    between: Callable[[], None],
) -> None:
    """Look at a batch until it has ended; the provider ends each after a day at the latest.

    Raises:
        BatchGone: it is not there any more.
        CallAmbiguous: it cannot be looked at.
    """
    while not _fetch(endpoint, batch_id, lambda: _has_ended(client, batch_id)):
        between()
        time.sleep(poll_seconds)


def results_text(client: anthropic.Anthropic, endpoint: Endpoint, batch_id: str) -> str:
    """The results of a batch that has ended, as they come; raises what `read_results` raises."""
    raw = client.messages.batches.with_raw_response
    return _fetch(endpoint, batch_id, lambda: raw.results(batch_id).text())


def read_results(
    client: anthropic.Anthropic, endpoint: Endpoint, batch_id: str, count: int
) -> list[str | ModelUnavailable]:
    """The body of each request's answer, in the order of the requests, or why there is none.

    Raises:
        BatchGone: the results are kept no more.
        CallAmbiguous: the results cannot be fetched.
    """
    text = results_text(client, endpoint, batch_id)
    found: dict[str, str | ModelUnavailable] = {}
    for line in filter(None, text.split("\n")):
        try:
            entry = json.loads(line)
            _, _, place = entry["custom_id"].rpartition("-")
            found[place] = _entry(endpoint, entry["result"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a broken line leaves its request without an answer, below
    lost = CallAmbiguous(
        f"The batch {batch_id} has ended without a readable answer to one request; it may have "
        "been paid, so decide whether to ask again."
    )
    return [found.get(str(place), lost) for place in range(count)]


def _has_ended(client: anthropic.Anthropic, batch_id: str) -> bool:
    # A reply of another kind is text, or an object without fields.
    batch = client.messages.batches.retrieve(batch_id)
    status: object = getattr(batch, "processing_status", None)
    if status not in ("in_progress", "canceling", "ended"):
        raise ValueError(f"no batch has the status {status!r}")
    if status == "ended" and not batch.results_url:
        raise _gone(batch_id)  # they are kept for some weeks
    return status == "ended"


def _entry(endpoint: Endpoint, result: dict[str, Any]) -> str | ModelUnavailable:
    kind = result["type"]
    if kind == "succeeded":
        return json.dumps(result["message"], ensure_ascii=False)
    quoted = server_says(endpoint, result.get("error"))
    return CallRefused(
        f"A request of a batch {_WITHOUT_ANSWER[kind]}{quoted}, which costs nothing; ask again."
    )


def _fetch(endpoint: Endpoint, batch_id: str, step: Callable[[], _T]) -> _T:
    try:
        return step()
    except anthropic.APIStatusError as error:
        if error.status_code in _GONE:
            raise _gone(batch_id) from error
        quoted = server_says(endpoint, error.body)
        raise _kept_back(batch_id, f" (status {error.status_code}{quoted})") from error
    except (anthropic.AnthropicError, httpx2.HTTPError, ValueError) as error:
        raise _kept_back(batch_id, "") from error


def _gone(batch_id: str) -> BatchGone:
    return BatchGone(
        f"The batch {batch_id} was accepted, but the Anthropic endpoint has no results of it for "
        "this key any more; it may have been paid."
    )


def _kept_back(batch_id: str, why: str) -> CallAmbiguous:
    return CallAmbiguous(
        f"The batch {batch_id} was accepted, but the Anthropic endpoint does not give its results "
        f"now{why}; it is being paid for."
    )
