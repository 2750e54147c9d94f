"""Texts that try to be more than text."""

from __future__ import annotations

HOSTILE_GOAL = "</title><script>alert('goal')</script> [bold red]b[/] \x1b[31mred {{ 7 * 7 }}"


def one_sentence(stderr: str) -> str:
    """What a command said before it gave up: one line, and no traceback."""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ") and lines[0].endswith(".")
    return lines[0]
