"""What calls cost. Prices change, so none are built in: they are given in the settings.

Without a price a cost is unknown, and None says so; it is never taken for nothing.
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


class Price(Record):
    """US dollars for a million tokens.

    Attributes:
        input, output: tokens read afresh, and written.
        cache_read, cache_write: tokens read from the cache, and put into it; None is unknown.
    """

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None


PriceTable = Mapping[str, Price]
"""Prices by the beginning of a model's name; the longest that fits counts."""


class PriceSettings(BaseSettings):
    """Read from `SELFSTEER_PRICES`, as JSON: `{"some-model": {"input": 1, "output": 5}}`."""

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
            'SELFSTEER_PRICES must be JSON such as {"some-model": {"input": 1, "output": 5}}, in '
            "US dollars for a million tokens; cache_read and cache_write may be added."
        ) from error


def cost(usage: Usage, model: str, table: PriceTable) -> float | None:
    """US dollars of one call.

    Args:
        model: its name, without that of the provider.

    Returns:
        None where the model has no price, a kind of token has none, or nothing was counted.
    """
    prefixes = [prefix for prefix in table if model.startswith(prefix)]
    if not prefixes or not usage.counted:
        return None
    price = table[max(prefixes, key=len)]
    total = 0.0
    for tokens, rate in (
        (usage.input_tokens, price.input),
        (usage.output_tokens, price.output),
        (usage.cache_read_tokens, price.cache_read),
        (usage.cache_write_tokens, price.cache_write),
    ):
        if tokens and rate is None:
            return None
        total += tokens * (rate or 0.0)
    return total / _MILLION
