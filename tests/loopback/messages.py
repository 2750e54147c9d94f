"""Answers in the form of Anthropic's Messages API: whole, streamed, and for batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.loopback.server import Answer, Asked

MODEL = "claude-of-the-tests"
USAGE = {
    "input_tokens": 11,
    "output_tokens": 7,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 3,
}


def message(
    text: str | None = "{}", *, stop_reason: str | None = "end_turn", **changes: Any
) -> dict[str, Any]:
    """A Message with one block of text, or with none."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [] if text is None else [{"type": "text", "text": text}],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": USAGE,
        **changes,
    }


def said(text: str | None = "{}", **changes: Any) -> Answer:
    """A whole answer with a message."""
    return Answer(json.dumps(message(text, **changes)))


def error(status: int, kind: str = "some_error", text: str = "said the server") -> Answer:
    """An answer with an error."""
    body = {"type": "error", "error": {"type": kind, "message": text}}
    return Answer(json.dumps(body), status=status)


def events(text: str = "{}", *, stop_reason: str = "end_turn") -> list[dict[str, Any]]:
    """The events of a streamed message, its text in two pieces."""
    half = len(text) // 2
    start = message(None, stop_reason=None, usage={**USAGE, "output_tokens": 1})
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": piece},
            }
            for piece in (text[:half], text[half:])
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": None},
            "usage": {"output_tokens": USAGE["output_tokens"]},
        },
        {"type": "message_stop"},
    ]


def streamed(told: Iterable[Mapping[str, Any]]) -> Answer:
    """A stream of events."""
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in told)
    return Answer(body, content_type="text/event-stream")


class BatchDesk:
    """A script that takes one batch, is asked for it some times, and gives its results backwards.

    Args:
        results: the `result` of each request, by its place; a request without one gets none.
        polls: how often the batch is still in progress when it is looked at.
    """

    def __init__(self, results: Sequence[Mapping[str, Any] | None], polls: int = 2) -> None:
        self._results = results
        self._polls = polls
        self._ids: list[str] = []

    def __call__(self, asked: Asked) -> Answer:
        if asked.method == "POST":
            self._ids = [request["custom_id"] for request in asked.body["requests"]]
            return batch(asked, "msgbatch_1", "in_progress")
        if asked.path.endswith("/results"):
            pairs = zip(self._ids, self._results, strict=True)
            return results((i, r) for i, r in pairs if r is not None)
        if self._polls:
            self._polls -= 1
            return batch(asked, "msgbatch_1", "in_progress")
        return batch(asked, "msgbatch_1", "ended")


def batch(asked: Asked, name: str, status: str) -> Answer:
    """What becomes of a batch."""
    return Answer(json.dumps(batch_record(asked, name, status)))


def batch_record(
    asked: Asked, name: str, status: str, size: int = 0, created: str = "2026-01-01T00:00:00Z"
) -> dict[str, Any]:
    """A batch as it is shown by itself and in lists."""
    url = f"http://{asked.headers['host']}/v1/messages/batches/{name}/results"
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    return {
        "id": name,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": counts | {"succeeded" if status == "ended" else "processing": size},
        "created_at": created,
        "expires_at": created,
        "results_url": url if status == "ended" else None,
    }


def batch_list(records: Sequence[Mapping[str, Any]], *, more: bool = False) -> Answer:
    """A page of the list of batches."""
    names = [record["id"] for record in records]
    body = {
        "data": records,
        "has_more": more,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }
    return Answer(json.dumps(body))


def results(pairs: Iterable[tuple[str, Mapping[str, Any]]]) -> Answer:
    """The results of a batch, backwards: a request's `custom_id` and its `result`."""
    lines = [json.dumps({"custom_id": name, "result": result}) for name, result in pairs]
    return Answer("\n".join(reversed(lines)), content_type="application/x-jsonl")
