"""Methods that need the student, by name, the ones of third parties included."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfsteer.errors import DatasetError, PlanError, VectorError
from selfsteer.steering.extraction import optimise as registry
from selfsteer.steering.extraction.optimise import optimise, optimisers, register_optimiser
from selfsteer.steering.extraction.optimised import optimise_vector
from selfsteer.steering.extraction.positions import all_position_vector
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from tests.steering.students import build_vector

ASKED = Prompt.chat("one", system="s")
PROMOTE = [Example(prompt=ASKED, completion="abc")]
SUPPRESS = [Example(prompt=ASKED, completion="xyz")]
GLAD = [Example(prompt=Prompt.chat("one", system="be very glad"), completion="so")]
SAD = [Example(prompt=Prompt.chat("one", system="be sad"), completion="so")]


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))


def test_by_name_it_is_the_function_itself(llama: Student) -> None:
    options: dict[str, Any] = {"concept": "abc", "layer": 1, "steps": 3, "bound": 0.5}
    found = optimise("optimised", llama, PROMOTE, SUPPRESS, **options)
    assert found == optimise_vector(llama, PROMOTE, SUPPRESS, **options)
    assert optimise("optimised", llama, PROMOTE, **options).method == "optimised"
    with pytest.raises(PlanError, match="steps is 0"):
        optimise("optimised", llama, PROMOTE, SUPPRESS, **options | {"steps": 0})


def test_all_positions_takes_one_example_a_side(llama: Student) -> None:
    found = optimise("all_positions", llama, GLAD, SAD, concept="glad", layers=[0, 2])
    example = Example(prompt=Prompt.chat("one"), completion="so")
    expected = all_position_vector(
        llama, "be very glad", "be sad", example, concept="glad", layers=[0, 2]
    )
    assert found == expected
    assert found.method == "all_positions"


@pytest.mark.parametrize(
    ("promote", "suppress", "message"),
    [
        (GLAD * 2, SAD, "one example a side; there are 2 and 1"),
        (GLAD, [], "one example a side; there are 1 and 0"),
        (GLAD, [Example(prompt=Prompt.chat("two", system="be sad"))], "system messages only"),
        (GLAD, [Example(prompt=Prompt.chat("one"), completion="so")], "one system message"),
        (GLAD, [Example(prompt=Prompt.raw("one"))], "one system message"),
    ],
)
def test_other_contrasts_are_refused(
    llama: Student, promote: list[Example], suppress: list[Example], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        optimise("all_positions", llama, promote, suppress, concept="glad")


def test_unknown_methods_and_options_are_refused(llama: Student) -> None:
    with pytest.raises(VectorError, match=r"'magic'; known are all_positions, optimised"):
        optimise("magic", llama, PROMOTE, concept="abc")
    with pytest.raises(VectorError, match=r"'optimised' cannot be called.*argument: 'layer'"):
        optimise("optimised", llama, PROMOTE, concept="abc")
    with pytest.raises(VectorError, match=r"'optimised' cannot be called.*argument 'depth'"):
        optimise("optimised", llama, PROMOTE, concept="abc", layer=1, depth=2)


def test_a_registered_method_is_used_and_checked(llama: Student) -> None:
    vector = build_vector(llama)
    results: list[Any] = [vector, 3, replace(vector, student_fingerprint="another")]
    register_optimiser("mine", lambda student, promote, suppress, *, concept: results.pop(0))
    assert "mine" in optimisers()
    assert optimise("mine", llama, PROMOTE, concept="abc") == vector
    with pytest.raises(VectorError, match="'mine' returned int"):
        optimise("mine", llama, PROMOTE, concept="abc")
    with pytest.raises(VectorError, match="extracted from student another"):
        optimise("mine", llama, PROMOTE, concept="abc")
    for name in ("mine", "optimised"):
        with pytest.raises(VectorError, match="already"):
            register_optimiser(name, registry._METHODS["optimised"])


PLUG_INS = """[selfsteer.optimisation]
third_scaled = third_party_optimiser:scaled
third_missing = third_party_optimiser:no_such_function
third_number = third_party_optimiser:NUMBER
optimised = third_party_optimiser:NUMBER
"""
WORKING = """
from selfsteer.steering.extraction.optimised import optimise_vector

NUMBER = 7

def scaled(student, promote, suppress, *, concept, factor):
    return optimise_vector(student, promote, concept=concept, layer=0, steps=1) * factor
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with a method that works and some that do not, on the path."""
    info = tmp_path / "third_party_optimiser-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(PLUG_INS)
    (tmp_path / "third_party_optimiser.py").write_text(WORKING)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("third_party_optimiser", None)


@pytest.mark.usefixtures("installed")
def test_a_plug_in_is_a_method_like_any_other(llama: Student) -> None:
    assert {"third_scaled", "third_number", "optimised"} <= set(optimisers())
    assert "third_party_optimiser" not in sys.modules
    found = optimise("third_scaled", llama, PROMOTE, concept="abc", factor=2.0)
    once = optimise("optimised", llama, PROMOTE, concept="abc", layer=0, steps=1)
    assert found == once * 2.0  # and the plug-in's name hid no built-in method
    with pytest.raises(VectorError, match="argument: 'factor'"):
        optimise("third_scaled", llama, PROMOTE, concept="abc")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "message"), [("third_missing", "AttributeError"), ("third_number", "is of type int")]
)
def test_a_broken_plug_in_is_named(llama: Student, name: str, message: str) -> None:
    with pytest.raises(VectorError, match=f"Optimiser '{name}'.*'third-party'.*{message}"):
        optimise(name, llama, PROMOTE, concept="abc")
