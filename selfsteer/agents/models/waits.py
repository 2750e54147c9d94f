"""How long to wait for an answer, and before a call without one is asked again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import sleep, time

TIMEOUT = 120.0
"""Seconds without a byte after which a call is given up, where nothing else is said."""

LONGEST = 60.0
"""Seconds; a server that asks for more is left to the person."""

# Seconds before the second attempt, the third and so on, where the server does not say.
_PAUSES = (1.0, 4.0, 16.0)
MOST_REPEATS = len(_PAUSES)


def wait_asked_for(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks to wait; None where it does not, or not in a known form.

    The forms are those that the SDKs know: `retry-after-ms`, and `retry-after` with seconds or a
    date.
    """
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None:
        return seconds / 1000
    told = headers.get("retry-after")
    seconds = _number(told)
    if seconds is not None or told is None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time())
    except (ValueError, OverflowError):
        return None


def pause(repeats: int, asked_for: float | None = None) -> None:
    """Wait before a call is asked again.

    Args:
        repeats: how often it was asked again before.
        asked_for: the seconds that the server asks to wait.
    """
    sleep(_PAUSES[min(repeats, MOST_REPEATS - 1)] if asked_for is None else asked_for)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number >= 0 and math.isfinite(number) else None
