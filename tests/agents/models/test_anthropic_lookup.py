"""Finding a batch by the mark of its requests, where nobody wrote its name down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from selfsteer.agents.models.anthropic_batch import named
from selfsteer.agents.models.anthropic_lookup import SLACK
from selfsteer.agents.models.errors import CallAmbiguous
from tests.agents.models.asks import claude
from tests.loopback import faults, messages
from tests.loopback.server import Answer, Asked, LoopbackServer, in_turn

MARK, OTHER = "a1" * 20, "b2" * 20
NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SUCCEEDED = {"type": "succeeded", "message": messages.message()}


class Account:
    """The batches of an account, newest first.

    Args:
        batches: name, mark, size and time of each.
        page: how many the list shows at once.
        polls: how often each is in progress when it is looked at.
    """

    def __init__(
        self, *batches: tuple[str, str, int, datetime], page: int = 100, polls: int = 0
    ) -> None:
        self._batches = batches
        self._page = page
        self._polls = dict.fromkeys([name for name, *_ in batches], polls)

    def __call__(self, asked: Asked) -> Answer:
        path, _, query = asked.path.partition("?")
        if path.endswith("/batches"):
            return self._list(asked, query)
        name = path.split("/")[4]
        (mark, size) = next((m, n) for known, m, n, _ in self._batches if known == name)
        if path.endswith("/results"):
            return messages.results((named(mark, place), SUCCEEDED) for place in range(size))
        self._polls[name] -= 1
        return messages.batch(asked, name, self._status(name))

    def _status(self, name: str) -> str:
        return "ended" if self._polls[name] < 1 else "in_progress"

    def _list(self, asked: Asked, query: str) -> Answer:
        names = [name for name, *_ in self._batches]
        after = query.partition("after_id=")[2].partition("&")[0]
        begin = names.index(after) + 1 if after else 0
        shown = self._batches[begin : begin + self._page]
        records = [
            messages.batch_record(asked, name, self._status(name), size, time.isoformat())
            for name, _, size, time in shown
        ]
        return messages.batch_list(records, more=begin + self._page < len(names))


def find(script: Any, count: int = 9, **named: Any) -> tuple[str | None, list[str]]:
    with LoopbackServer(script) as server:
        return claude(server).find_batch(MARK, count, NOW, **named), server.paths()


@pytest.mark.parametrize("page", [1, 2, 100])
@pytest.mark.parametrize("polls", [0, 3])
def test_a_batch_is_found_among_others(page: int, polls: int) -> None:
    account = Account(
        ("newer", OTHER, 9, NOW + MINUTE),
        ("smaller", MARK, 8, NOW),
        ("own", MARK, 9, NOW),
        ("older", MARK, 9, NOW - MINUTE),
        page=page,
        polls=polls,
    )
    found, paths = find(account)
    assert found == "own"
    assert not any("smaller" in path and "after_id" not in path for path in paths)


def test_what_was_handed_in_at_another_time_is_not_looked_at() -> None:
    account = Account(
        ("late", MARK, 9, NOW + SLACK + MINUTE),
        ("early", MARK, 9, NOW - SLACK - MINUTE),
        ("forgotten", MARK, 9, NOW - 2 * SLACK),
        page=1,
    )
    found, paths = find(account)
    assert found is None
    assert len(paths) == 2  # the list is left at the first that is too old


def test_waiting_for_a_batch_to_end_may_be_broken_off() -> None:
    def enough() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(Account(("own", MARK, 9, NOW), polls=2), between=enough)


@pytest.mark.parametrize(
    "answer",
    [
        messages.error(404),
        messages.error(405),
        messages.error(501),
        faults.WEB_PAGE,
        faults.OTHER_JSON,
        Answer('{"data": [{"id": "own"}]}'),
        Answer('{"data": [7], "has_more": true}'),
        messages.batch_list([]),
    ],
)
def test_a_server_without_a_list_and_a_list_without_the_batch_have_none(answer: Answer) -> None:
    found, _ = find(in_turn(answer))
    assert found is None


@pytest.mark.parametrize(
    "answer",
    [
        messages.error(401),
        messages.error(403),
        messages.error(429),
        messages.error(500),
        messages.error(529),
        faults.HANG_UP,
        faults.cut(messages.batch_list([])),
        faults.truncated(messages.batch_list([])),
    ],
)
def test_a_server_that_cannot_be_asked_now_does_not_say_that_there_is_none(answer: Answer) -> None:
    with pytest.raises(CallAmbiguous, match="does not say now whether it took a batch"):
        find(in_turn(answer))


def test_nobody_there_does_not_say_that_there_is_none() -> None:
    with LoopbackServer(in_turn(messages.error(404))) as server:
        model = claude(server)
    with pytest.raises(CallAmbiguous, match="does not say now whether it took a batch"):
        model.find_batch(MARK, 9, NOW)


@pytest.mark.parametrize("answer", [messages.error(404), messages.error(500), faults.HANG_UP])
def test_a_batch_without_results_is_passed_over(answer: Answer) -> None:
    account = Account(("gone", MARK, 9, NOW), ("own", MARK, 9, NOW))

    def script(asked: Asked) -> Answer:
        return answer if asked.path.endswith("gone/results") else account(asked)

    assert find(script)[0] == "own"


@pytest.mark.parametrize("answer", [messages.error(500), messages.error(529), faults.HANG_UP])
def test_a_batch_that_is_kept_back_may_be_the_one(answer: Answer) -> None:
    account = Account(("held", MARK, 9, NOW), ("other", OTHER, 9, NOW))

    def script(asked: Asked) -> Answer:
        return answer if asked.path.endswith("held/results") else account(asked)

    with pytest.raises(CallAmbiguous, match="does not say now whether it took a batch"):
        find(script)


def test_a_batch_whose_results_are_gone_is_none() -> None:
    account = Account(("gone", MARK, 9, NOW))

    def script(asked: Asked) -> Answer:
        return messages.error(404) if asked.path.endswith("gone/results") else account(asked)

    assert find(script)[0] is None
