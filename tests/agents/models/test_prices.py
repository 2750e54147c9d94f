"""What calls cost, where that is known."""

from __future__ import annotations

import pytest

from selfsteer.agents.models.chat_model import Usage
from selfsteer.agents.models.prices import Price, cost, price_table
from selfsteer.errors import ControllerError

TABLE = {
    "small": Price(input=1, output=5, cache_read=0.1, cache_write=1.25),
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
    assert cost(usage, "small-20260101", TABLE) == pytest.approx(1 + 10 + 1 + 5)


def test_the_longest_prefix_counts() -> None:
    assert cost(Usage(output_tokens=MILLION), "small-new-2", TABLE) == pytest.approx(10)


def test_nothing_used_costs_nothing() -> None:
    assert cost(Usage(), "small", TABLE) == 0


@pytest.mark.parametrize(
    ("usage", "model"),
    [
        (Usage(input_tokens=1), "other-small"),
        (Usage(counted=False), "small"),
        (Usage(input_tokens=1, cache_read_tokens=1), "small-new"),
        (Usage(input_tokens=1, cache_write_tokens=1), "small-new"),
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


@pytest.mark.parametrize(
    "text",
    ["cheap", '{"small": 1}', '{"small": {"input": -1, "output": 5}}', '{"small": {"input": 1}}'],
)
def test_malformed_prices_are_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SELFSTEER_PRICES", text)
    with pytest.raises(ControllerError, match="SELFSTEER_PRICES must be JSON"):
        price_table()
