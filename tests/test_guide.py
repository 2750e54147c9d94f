"""The guide's examples run as they stand: the blocks of a page in order, as one program."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from selfsteer.steering.extraction import optimise, registry
from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.selectors.terms import NAMES

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide"
PAGES = sorted(GUIDE.glob("*.md"))
_WORD = re.compile(r"id:|\w+")
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def program(text: str) -> str:
    """The Python of a page, each line at its own line number, so that a traceback names it."""
    lines = [""] * (text.count("\n") + 1)
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1))
        code = block[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = program(page.read_text(encoding="utf-8"))
    assert code.strip(), f"{page.name} shows nothing that runs"
    monkeypatch.chdir(tmp_path)
    for module in (registry, optimise):  # pages register methods
        monkeypatch.setattr(module, "_METHODS", dict(module._METHODS))
    exec(compile(code, str(page), "exec"), {"__name__": "guide"})


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("steering", [*registry._METHODS, *optimise._METHODS]),
        ("operators", OPERATORS),
        ("selectors", [*NAMES, "turn", "except", "id:"]),
    ],
)
def test_everything_is_shown_where_it_belongs(page: str, names: Iterable[str]) -> None:
    """By name, in a text of code that runs."""
    code = program((GUIDE / f"{page}.md").read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    words = {word for text in texts if isinstance(text, str) for word in _WORD.findall(text)}
    assert set(names) - words == set()


def test_code_keeps_its_line_numbers() -> None:
    page = "# A page\n\n```python\na = 1\n```\n\n```bash\nrm b\n```\ntext\n```python\nb = 2\n```\n"
    lines = program(page).split("\n")
    assert {at: line for at, line in enumerate(lines, 1) if line} == {4: "a = 1", 12: "b = 2"}
