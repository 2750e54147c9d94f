"""Answers that no API would give, whichever it is."""

from __future__ import annotations

from dataclasses import replace

from tests.loopback.server import Answer

HANG_UP = Answer(hang_up=True)
WEB_PAGE = Answer("<!doctype html><title>Sign in</title>", content_type="text/html")
OTHER_JSON = Answer('{"status": "ok"}')
JSON_NULL = Answer("null")
NOTHING = Answer("")


def cut(answer: Answer) -> Answer:
    """Headers and half of the body, then the connection closes."""
    return replace(answer, cut=True)


def slow(answer: Answer) -> Answer:
    """Headers, and the body never."""
    return replace(answer, slow=True)


def truncated(answer: Answer) -> Answer:
    """Half of the body, as if it were the whole."""
    return replace(answer, body=answer.body[: len(answer.body) // 2])
