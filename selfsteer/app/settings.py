"""Settings that the environment may give, so that they need not be typed each time."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from selfsteer.agents.models.waits import TIMEOUT
from selfsteer.errors import SelfsteerError


class AppSettings(BaseSettings):
    """Read from `SELFSTEER_DB`, `SELFSTEER_DEVICE` and so on; an option goes before.

    Attributes:
        db: the memory.
        device: where students run, as torch names it.
        dtype: type of the weights in use, as `Student.load` takes it.
        model: the large model that controllers ask.
        base_url: where it is asked.
        timeout: seconds that it may send nothing before a call is given up.

    Raises:
        SelfsteerError: a variable holds what cannot be.
    """

    model_config = SettingsConfigDict(env_prefix="SELFSTEER_")

    db: Path = Path("selfsteer.db")
    device: str = "cpu"
    dtype: str = "float32"
    model: str | None = None
    base_url: str | None = None
    timeout: float = Field(default=TIMEOUT, gt=0, allow_inf_nan=False)

    def __init__(self) -> None:
        try:
            super().__init__()
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            variable = f"SELFSTEER_{'_'.join(map(str, wrong['loc'])).upper()}"
            raise SelfsteerError(f"{variable} cannot be used: {wrong['msg']}.") from error


class MeaningSettings(BaseSettings):
    """Read from `SELFSTEER_ENCODER` and `SELFSTEER_LEAST_COSINE`.

    Attributes:
        encoder: the sentence encoder by which goals are recalled that mean the same; a folder, or
            a hub name. None leaves recall to words.
        least_cosine: from which two goals may mean the same, by this encoder.
    """

    model_config = SettingsConfigDict(env_prefix="SELFSTEER_")

    encoder: str | None = Field(default=None, min_length=1)
    least_cosine: float | None = Field(default=None, ge=-1, le=1)
