"""One end of the network: its name in sentences, and the key that only the environment holds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from selfsteer.errors import ControllerError


@dataclass(frozen=True)
class Endpoint:
    """What sentences about a server need.

    Attributes:
        label: what it is, as the subject of a sentence.
        key_variable: the environment variable of its key.
        key: the key itself, to be kept out of every sentence.
    """

    label: str
    key_variable: str
    key: str = field(repr=False)

    def without_key(self, text: str) -> str:
        """A text that may be shown, even if a server repeated the key in it."""
        return text.replace(self.key, "***") if self.key else text


def key_from_environment(variable: str) -> str | None:
    """The key in a variable of the environment; None where it is unset or blank.

    Raises:
        ControllerError: it holds what no key can hold, such as a line break.
    """
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ControllerError(
            f"{variable} holds characters that no key has; copy the key again, on one line."
        )
    return key or None


def check_model_name(model: str, provider: str) -> None:
    """Refuse a blank name: no provider has a default that we could stand for.

    Raises:
        ControllerError: the name is blank.
    """
    if not model.strip():
        raise ControllerError(
            f"Name the model that {provider} is to run; there is no default model."
        )
