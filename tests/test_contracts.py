"""The floors of the house, and that the loop does not know its own answers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from selfsteer.pocket.lexicon import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "selfsteer"

# Attribute values that the code needs as ordinary words ("neutral instructions", "search space").
ORDINARY = {"neutral", "plain", "space"}
VALUES = {value for values in FAMILIES.values() for value in values} - ORDINARY


def test_import_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    broken = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert broken == 0, capsys.readouterr().out


def _docstrings(tree: ast.AST) -> set[int]:
    """Ids of the nodes that document: they explain by example and nothing reads them."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of everything in a file that the program could act on."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(source.splitlines(), start=1)
        return
    tree = ast.parse(source)
    documentation = _docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documentation:
                yield node.lineno, node.value
        elif isinstance(node, ast.Name | ast.Attribute):
            yield node.lineno, (node.id if isinstance(node, ast.Name) else node.attr)


def _named_values(path: Path) -> list[str]:
    found = []
    for line, text in _texts(path):
        # Identifiers count by their parts: IS_GLOOMY names a value as much as "gloomy" does.
        named = VALUES & set(re.split(r"[\W_]+", text.lower()))
        found += [f"{path.name}:{line} names {value}" for value in sorted(named)]
    return found


def test_no_floor_above_the_cellar_names_an_attribute_value() -> None:
    files = [
        path
        for pattern in ("*.py", "*.md", "*.txt", "*.yaml", "*.json")
        for path in PACKAGE.rglob(pattern)
        if PACKAGE / "pocket" not in path.parents
    ]
    assert files
    assert [finding for path in sorted(files) for finding in _named_values(path)] == []


@pytest.mark.parametrize(
    "source",
    ['GOALS = ["sound gloomy"]', "score = gloomy_words", 'text = f"{x}, gloomy"', "IS_GLOOMY = 1"],
)
def test_the_search_for_values_finds_them(tmp_path: Path, source: str) -> None:
    file = tmp_path / "module.py"
    file.write_text(source, encoding="utf-8")
    assert _named_values(file) == ["module.py:1 names gloomy"]


def test_the_search_for_values_lets_documentation_give_examples(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('"""Makes a model gloomy."""\n', encoding="utf-8")
    assert _named_values(file) == []
