"""Where output goes: results to stdout, everything else to stderr; and how text is made safe."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pydantic import ValidationError

    from selfsteer.agents.steps import Step
    from selfsteer.memory.records import Paid

DASH = "\N{EN DASH}"  # where a figure would stand, if it had been measured
_WIDTH = 160
_SHOWN = 60  # characters of a refused value


def stdout() -> Console:
    """The console for results; made anew, because tests exchange the stream."""
    return _console(sys.stdout)


def stderr() -> Console:
    """The console for progress, warnings and errors."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    # Files and pipes have no width to keep to.
    width = None if stream.isatty() else _WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=True)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False))


def clean(text: str) -> str:
    """Text of a model or a person without what a terminal would act on."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def is_text(text: str) -> bool:
    """Whether a word of the command line could be read as UTF-8."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def literal(text: object) -> Text:
    """Text that rich prints as it stands: brackets are no markup, control characters are gone."""
    return Text(clean(str(text)))


def figure(value: float | None, digits: int = 2) -> str:
    """A number for a table; a dash where nothing was measured."""
    return DASH if value is None else f"{value:.{digits}f}"


def measured(verdict: Mapping[str, Any], name: str) -> float | None:
    """A figure of a verdict; None where it has none, which only those of the loop always do."""
    value = verdict.get(name)
    return value if isinstance(value, int | float) else None


def place(site: str, layer: int, operator: str, strength: float) -> str:
    """Where and how a candidate steers, in a few words."""
    return f"{site}, layer {layer}, {operator} {strength:.2f}"


def plan_lines(steps: Sequence[Step]) -> list[str]:
    """A plan in lines: vectors that steer in the same way share one."""
    ways: dict[str, list[str]] = {}
    for step in steps:
        where = place(step.site, step.layer, step.operator, step.strength)
        ways.setdefault(where, []).append(step.vector)
    return [f"vector {' and '.join(names)}: {where}" for where, names in ways.items()]


def table(title: str | None, *columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table; the columns named in `right` are figures."""
    result = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        figures = column in right
        result.add_column(column, justify="right" if figures else "left", no_wrap=figures)
    return result


def explain(error: ValidationError, names: Mapping[str, str]) -> str:
    """The first mistake of refused settings as one sentence.

    Args:
        names: what people call a field, by the field's name.
    """
    first = error.errors(include_url=False)[0]
    field = next((part for part in reversed(first["loc"]) if isinstance(part, str)), "settings")
    if first["type"] == "string_too_short":
        return f"{names.get(field, field)} is empty; give it some text."
    message = first["msg"].removeprefix("Value error, ")
    given = repr(first["input"])
    if len(given) > _SHOWN:
        given = f"{given[:_SHOWN]}…"
    return clean(f"{names.get(field, field)}: {message[0].lower()}{message[1:]}, not {given}.")


def paid_words(paid: Paid) -> str:
    """What a run paid for: calls, tokens, and dollars as far as they are known."""
    most = "" if paid.exact else "at most "
    if paid.cost is None:
        cost = "cost not known, because SELFSTEER_PRICES has no price of the model"
    else:
        cost = f"{most}${paid.cost:.4f}"
    return f"{paid.calls} call{'s' * (paid.calls != 1)}, {most}{paid.tokens} tokens, {cost}"


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings as one line on stderr, without the place in the code that gave them."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        stderr().print(literal(f"warning: {message}"))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
