"""Capability questions: read from a file, found beside a student."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfsteer.errors import DatasetError
from selfsteer.pocket import weights
from selfsteer.pocket.capability import write_capability
from selfsteer.pocket.facts import held_out_questions
from selfsteer.steering.capability import bundled_capability, load_capability
from selfsteer.steering.metrics.retention import CapabilityItem, is_right

ROWS = [{"question": "1 + 1?", "answers": ["2", "two"]}, {"question": "Sky?", "answers": ["blue"]}]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n" if lines else "", encoding="utf-8")
    return path


def test_questions_are_read_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", *map(json.dumps, ROWS))
    assert load_capability(path) == [
        CapabilityItem(question="1 + 1?", answers=("2", "two")),
        CapabilityItem(question="Sky?", answers=("blue",)),
    ]


@pytest.mark.parametrize(
    "line",
    ["no json", "[]", '{"question": "x"}', '{"question": "x", "answers": []}', '"x"', ""],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "q.jsonl", json.dumps(ROWS[0]), line, json.dumps(ROWS[1]))
    with pytest.raises(DatasetError, match=r"^Line 2 of .*q\.jsonl") as refused:
        load_capability(path)
    assert "\n" not in str(refused.value)


def test_no_questions_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no capability questions"):
        load_capability(write(tmp_path / "empty.jsonl"))
    with pytest.raises(DatasetError, match="Cannot read"):
        load_capability(tmp_path / "missing.jsonl")
    with pytest.raises(DatasetError, match="Cannot read"):
        load_capability(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b'{"question": "\xe9"}')
    with pytest.raises(DatasetError, match="Cannot read"):
        load_capability(tmp_path / "latin.jsonl")


def test_questions_are_found_beside_a_students_weights(tmp_path: Path) -> None:
    write(tmp_path / weights.CAPABILITY, *map(json.dumps, ROWS))
    assert len(bundled_capability(str(tmp_path))) == 2


def test_a_student_without_questions_has_none(tmp_path: Path) -> None:
    assert bundled_capability(str(tmp_path)) == []
    assert bundled_capability("somebody/some-model") == []


def test_malformed_questions_beside_weights_are_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path / weights.CAPABILITY, "no json")
    with pytest.raises(DatasetError, match="Line 1"):
        bundled_capability(str(tmp_path))


def test_the_bundled_student_has_its_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fact once in each language, in wordings that training does not use."""
    monkeypatch.setattr(weights, "BUNDLED", tmp_path)
    assert bundled_capability("pocket") == []  # built without its weights
    folder = tmp_path / weights.FOLDERS["pocket"]
    folder.mkdir()
    (folder / "model.safetensors").touch()
    assert bundled_capability("pocket") == []
    write_capability(folder)
    items = bundled_capability("pocket")
    right = {question: fact for fact, _, question in held_out_questions()}
    assert len(items) == len({item.question for item in items}) == 56 * 3
    for item in items:
        assert item.answers == right[item.question].accepted()
        assert is_right(item, item.answers[1].upper())
    kinds = [right[item.question].kind for item in items[:60]]
    assert len(set(kinds)) == 3  # the first questions are a mixture
    write_capability(folder)
    assert bundled_capability("pocket") == items
