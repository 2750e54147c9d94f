"""The page of one user: what their vector holds, and what carries it."""

from __future__ import annotations

from pathlib import Path

from selfsteer.agents.users.explaining import Explained
from selfsteer.app.report.templates import template
from selfsteer.app.report.writing import write_file

_TRAITS, _INFLUENCES = 12, 20


def write_user_page(found: Explained, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        SelfsteerError: the file cannot be written.
    """
    traits = list(found.told.traits.items())[:_TRAITS]
    page = template("user.html.j2").render(
        version=found.version,
        told=found.told,
        traits=traits,
        longest=max((abs(value) for _, value in traits), default=1.0),
        influences=found.told.influences[:_INFLUENCES],
    )
    write_file(page, path)
