"""What calls cost. Prices change, so none are built in: they are given in the settings.

A model without a price has an unknown cost, and None says so. Where only a part of its prices is
given, the rest counts at a bound, so that a limit of money holds, and the cost says that it is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from selfsteer.agents.models.chat_model import Usage
from selfsteer.agents.types import Record
from selfsteer.errors import ControllerError

Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_MILLION = 1_000_000
# No provider takes more for reading from its cache than for reading afresh, or more than twice as
# much for putting into it, or more for a batch than for its calls one by one.
_CACHE_WRITE_AT_MOST = 2


class Price(Record):
    """US dollars for a million tokens.

    Attributes:
        input, output: tokens read afresh, and written.
        cache_read, cache_write: tokens read from the cache, and put into it; None is unknown.
        batch: the share of all these that a call in a batch costs; None is unknown.
    """

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    batch: Annotated[float, Field(gt=0, le=1)] | None = None


class Cost(Record):
    """What a call costs.

    Attributes:
        dollars: US dollars.
        exact: False where it may have cost less.
    """

    dollars: Dollars
    exact: bool = True


PriceTable = Mapping[str, Price]
"""Prices by the beginning of a model's name; the longest that fits counts."""


class PriceSettings(BaseSettings):
    """Read from `SELFSTEER_PRICES`, as JSON."""

    model_config = SettingsConfigDict(env_prefix="SELFSTEER_")

    prices: dict[str, Price] = {}


def price_table() -> PriceTable:
    """The prices that the environment gives.

    Raises:
        ControllerError: they are malformed.
    """
    try:
        return PriceSettings().prices
    except (ValidationError, SettingsError) as error:
        raise ControllerError(
            'SELFSTEER_PRICES must be JSON such as {"some-model": {"input": 1, "output": 5, '
            '"cache_read": 0.1, "cache_write": 1.25, "batch": 0.5}}, in US dollars for a million '
            "tokens; the last three may be left out, and then count at the most that they may cost."
        ) from error


def cost(usage: Usage, model: str, table: PriceTable, *, batched: bool = False) -> Cost | None:
    """What one call costs, or a bound where a price that it needs is not given.

    Args:
        model: its name, without that of the provider.
        batched: whether it came in a batch.

    Returns:
        None where the model has no price, or nothing was counted.
    """
    prefixes = [prefix for prefix in table if model.startswith(prefix)]
    if not prefixes or not usage.counted:
        return None
    price = table[max(prefixes, key=len)]
    rates = (
        (usage.input_tokens, price.input, price.input),
        (usage.output_tokens, price.output, price.output),
        (usage.cache_read_tokens, price.cache_read, price.input),
        (usage.cache_write_tokens, price.cache_write, _CACHE_WRITE_AT_MOST * price.input),
    )
    total = sum(tokens * (most if rate is None else rate) for tokens, rate, most in rates)
    share = price.batch if batched else 1.0
    unknown = any(tokens and rate is None for tokens, rate, _ in rates) or share is None
    return Cost(dollars=total * (share or 1.0) / _MILLION, exact=not unknown or total == 0)
