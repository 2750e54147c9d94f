"""How long servers ask to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from selfsteer.agents.models import waits
from selfsteer.agents.models.waits import MOST_REPEATS, pause, wait_asked_for


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
    ],
)
def test_the_forms_that_servers_use(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_asked_for(headers) == seconds


def test_a_date_is_a_time_from_now() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    assert wait_asked_for({"retry-after": then}) == pytest.approx(300, abs=5)


def test_pauses_grow_where_the_server_does_not_say(waited: list[float]) -> None:
    for repeats in range(MOST_REPEATS + 1):
        pause(repeats)
    assert waited == sorted(waited) and waited[0] > 0
    assert max(waited) <= waits.LONGEST
    pause(0, asked_for=2.5)
    assert waited[-1] == 2.5
