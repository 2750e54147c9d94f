"""What calls cost, where that is known."""

from __future__ import annotations

import re

import pytest

from selfsteer.agents.models.chat_model import Usage
from selfsteer.agents.models.prices import Cost, Price, cost, price_table
from selfsteer.errors import ControllerError

TABLE = {
    "small": Price(input=1, output=5, cache_read=0.1, cache_write=1.25, batch=0.5),
    "small-new": Price(input=2, output=10),
}
MILLION = 1_000_000


def test_every_kind_of_token_has_its_price() -> None:
    usage = Usage(
        input_tokens=MILLION,
        output_tokens=2 * MILLION,
        cache_read_tokens=10 * MILLION,
        cache_write_tokens=4 * MILLION,
    )
    assert cost(usage, "small-20260101", TABLE) == Cost(dollars=1 + 10 + 1 + 5)
    assert cost(usage, "small-20260101", TABLE, batched=True) == Cost(dollars=17 / 2)


def test_the_longest_prefix_counts() -> None:
    assert cost(Usage(output_tokens=MILLION), "small-new-2", TABLE) == Cost(dollars=10)


def test_nothing_used_costs_nothing() -> None:
    assert cost(Usage(), "small", TABLE) == cost(Usage(), "small-new", TABLE) == Cost(dollars=0)


@pytest.mark.parametrize(
    ("usage", "batched", "dollars"),
    [
        (Usage(input_tokens=MILLION, cache_read_tokens=MILLION), False, 2 + 2),
        (Usage(input_tokens=MILLION, cache_write_tokens=MILLION), False, 2 + 4),
        (Usage(input_tokens=MILLION), True, 2),
    ],
)
def test_a_price_that_is_not_given_counts_at_the_most_that_it_may_be(
    usage: Usage, batched: bool, dollars: float
) -> None:
    assert cost(usage, "small-new", TABLE, batched=batched) == Cost(dollars=dollars, exact=False)


@pytest.mark.parametrize(
    ("usage", "model"),
    [
        (Usage(input_tokens=1), "other-small"),
        (Usage(counted=False), "small"),
    ],
)
def test_what_is_not_known_is_not_made_up(usage: Usage, model: str) -> None:
    assert cost(usage, model, TABLE) is None


def test_no_prices_are_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SELFSTEER_PRICES", raising=False)
    assert price_table() == {}


def test_the_environment_gives_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFSTEER_PRICES", '{"small": {"input": 1, "output": 5}}')
    assert price_table() == {"small": Price(input=1, output=5)}


def test_the_form_that_the_error_shows_is_read_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFSTEER_PRICES", "cheap")
    with pytest.raises(ControllerError) as refused:
        price_table()
    shown = re.search(r"\{.*\}", str(refused.value))
    assert shown is not None
    monkeypatch.setenv("SELFSTEER_PRICES", shown[0])
    usage = Usage(input_tokens=1, output_tokens=1, cache_read_tokens=1, cache_write_tokens=1)
    found = cost(usage, "some-model", price_table(), batched=True)
    assert found is not None and found.exact


@pytest.mark.parametrize(
    "text",
    [
        "cheap",
        '{"small": {"input": 1, "output": 5, "batch": 0}}',
        '{"small": 1}',
        '{"small": {"input": -1, "output": 5}}',
        '{"small": {"input": 1}}',
    ],
)
def test_malformed_prices_are_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SELFSTEER_PRICES", text)
    with pytest.raises(ControllerError, match="SELFSTEER_PRICES must be JSON"):
        price_table()
