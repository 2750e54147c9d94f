"""The pages' templates: whatever text goes into one is escaped, whoever wrote it."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from selfsteer.agents.sites import SITES
from selfsteer.agents.types import CandidateSpec
from selfsteer.app.output import DASH, place


@cache
def template(name: str) -> Template:
    """A template of this package."""
    environment = Environment(
        loader=PackageLoader("selfsteer.app.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["fixed"] = _fixed
    environment.filters["interval"] = _interval
    environment.filters["spec"] = CandidateSpec.of_plan
    environment.globals.update(place=place, sites=SITES)
    return environment.get_template(name)


def _fixed(value: Any, digits: int = 2) -> str:
    """A number with so many digits; a dash for none."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) else DASH


def _interval(value: Any, digits: int = 2) -> str:
    """An interval in brackets; nothing for none."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return ""
    low, high = value
    return f"[{low:.{digits}f}, {high:.{digits}f}]"
