"""The tool by which a student steers itself: what it may ask for, and how it is read back.

Whatever text a student writes, the only names, strengths and scopes that come out of it are those
of an allow-list that a person made.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from selfsteer.agents.types import Record
from selfsteer.errors import ControllerError, PlanError
from selfsteer.steering.plan import Edit

Scope = Literal["next", "until_reverted"]
SCOPES: tuple[Scope, ...] = ("next", "until_reverted")
NOTHING = "none"
_NAME = re.compile(r"\w[\w.+-]{0,39}")
_SHOWN = 60  # characters of a refused name
_REASON = 200  # characters of why a text is no call
_FINE = 21  # strengths that a grammar offers


def is_name(text: str) -> bool:
    """Whether a text may name a vector in a conversation."""
    return _NAME.fullmatch(text) is not None and text != NOTHING


@dataclass(frozen=True)
class Steerable:
    """A vector under a name, with the bounds within which it may be used.

    Attributes:
        name: what calls and people say; one word.
        edit: where and how it steers; its strength is only a placeholder.
        low: least strength, in the operator's unit.
        high: greatest strength.

    Raises:
        ControllerError: a name that is no single word, or "none"; bounds that are no interval.
        PlanError: a bound that the operator does not take.
    """

    name: str
    edit: Edit
    low: float
    high: float

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ControllerError(
                f"{_shown(self.name)} cannot name a vector in a conversation; give it one word of "
                f"at most 40 letters, digits and . + - _, other than {NOTHING!r}."
            )
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ControllerError(
                f"The strengths of {self.name} run from {self.low} to {self.high}; give two "
                "numbers, the lower first."
            )
        for bound in (self.low, self.high):
            self.at(bound)

    def at(self, strength: float) -> Edit:
        """The edit with a strength."""
        return replace(self.edit, strength=strength)

    def strengths(self, count: int) -> tuple[float, ...]:
        """Evenly spaced strengths from the lowest to the highest, of three digits or so."""
        width = (self.high - self.low) / (count - 1)
        rounded = (float(f"{self.low + width * i:.3g}") for i in range(count))
        inside = (min(max(strength, self.low), self.high) for strength in rounded)
        return tuple(dict.fromkeys(inside))


class Asked(Record):
    """Base of the calls: a value of the wrong type is refused, never turned into the right one."""

    model_config = ConfigDict(strict=True)


class Keep(Asked):
    """Leave the steering as it is."""

    tool: Literal["none"] = "none"


class Steer(Asked):
    """Steer with a vector beside those that are active; one that is active gets a new strength."""

    tool: Literal["steer"] = "steer"
    vector: str
    strength: float = Field(allow_inf_nan=False)
    scope: Scope


class Swap(Asked):
    """Take a vector in the place of an active one."""

    tool: Literal["swap"] = "swap"
    active: str
    vector: str
    strength: float = Field(allow_inf_nan=False)
    scope: Scope


class Revert(Asked):
    """Take an active vector back; all of them where none is named."""

    tool: Literal["revert"] = "revert"
    vector: str | None = None


Call = Annotated[Keep | Steer | Swap | Revert, Field(discriminator="tool")]
_CALL: TypeAdapter[Call] = TypeAdapter(Call)


def call_text(call: Call) -> str:
    """A call as it is written: one line of JSON."""
    return json.dumps(call.model_dump(exclude_none=True), ensure_ascii=False)


def read_call(text: str) -> Call:
    """The call that a text holds, and nothing else.

    Raises:
        ControllerError: the text is no call; names and bounds are not looked at here.
    """
    try:
        return _CALL.validate_json(text)
    except ValidationError as error:
        told = error.errors(include_url=False)[0]
        place = f" at {_shown('.'.join(map(str, told['loc'])))}" if told["loc"] else ""
        raise ControllerError(
            f"This is no call of the tool{place}: {told['msg'][:_REASON]}."
        ) from error


def possible_calls(
    allowed: Mapping[str, Steerable], active: Sequence[str], levels: int
) -> list[Call]:
    """Every call that would be granted, with a few strengths each; leaving all as it is first."""
    calls: list[Call] = [Keep()]
    for name, steerable in allowed.items():
        for strength in steerable.strengths(levels):
            for scope in SCOPES:
                calls.append(Steer(vector=name, strength=strength, scope=scope))
                calls += [
                    Swap(active=old, vector=name, strength=strength, scope=scope)
                    for old in active
                    if old != name
                ]
    calls += [Revert(vector=name) for name in active]
    return [*calls, Revert()] if active else calls


def call_schema(allowed: Mapping[str, Steerable], active: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of the calls that would be granted."""
    forms = [_form(tool={"const": "none"})]
    for name, steerable in allowed.items():
        chosen = {
            "vector": {"const": name},
            "strength": {"enum": list(steerable.strengths(_FINE))},
            "scope": {"enum": list(SCOPES)},
        }
        forms.append(_form(tool={"const": "steer"}, **chosen))
        if others := [old for old in active if old != name]:
            forms.append(_form(tool={"const": "swap"}, active={"enum": others}, **chosen))
    if active:
        forms.append(_form(tool={"const": "revert"}, vector={"enum": list(active)}))
        forms.append(_form(tool={"const": "revert"}))
    return {"anyOf": forms}


def _form(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def allow(steerables: Sequence[Steerable]) -> dict[str, Steerable]:
    """An allow-list by name.

    Raises:
        ControllerError: it is empty, or a name stands there twice.
    """
    allowed = {steerable.name: steerable for steerable in steerables}
    if not allowed:
        raise ControllerError("No vector may be steered with; allow at least one.")
    if len(allowed) < len(steerables):
        names = [steerable.name for steerable in steerables]
        twice = next(name for name in names if names.count(name) > 1)
        raise ControllerError(f"Two vectors are named {twice}; give each a name of its own.")
    return allowed


def granted(allowed: Mapping[str, Steerable], name: str, strength: float) -> Edit:
    """The edit that a call asks for.

    Raises:
        ControllerError: a name that is not on the list, a strength out of its bounds. Nothing is
            bent into shape: a call that asks for more than it may is not carried out.
    """
    if name not in allowed:
        raise ControllerError(
            f"{_shown(name)} is not one of the vectors allowed here: {', '.join(allowed)}."
        )
    steerable = allowed[name]
    if not steerable.low <= strength <= steerable.high:
        raise ControllerError(
            f"Strength {strength:g} is out of bounds: {name} may have {steerable.low:g} to "
            f"{steerable.high:g}."
        )
    try:
        return steerable.at(strength)
    except PlanError as error:
        raise ControllerError(str(error)) from error


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
