"""The page of an evolution, and its plots: complete, self-contained, safe, in any state."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from selfsteer.agents.budget import Budget
from selfsteer.agents.evolve import evolve_goal
from selfsteer.agents.spread import spread
from selfsteer.app.report.evolution import gather_evolution, render_evolution
from selfsteer.app.report.evolution_plots import Node, born, family_tree, fitness, matrix
from selfsteer.app.report.page import write_report
from selfsteer.app.report.plots import DARK, LIGHT, drawing
from selfsteer.app.report.spread_plots import adoption
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import Scripted
from tests.agents.evolving_doubles import evolving, few, found
from tests.app.doubles import HOSTILE_GOAL
from tests.app.report.test_plots import svg


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)


def page(memory: Memory, talker: Student, **changes: Any) -> str:
    wanted = evolving(found(talker, memory), **changes)
    run = evolve_goal(talker, Scripted(), memory, wanted)
    return render_evolution(gather_evolution(memory, run.id))


def test_the_page_holds_everything_and_asks_for_nothing(
    memory: Memory, talker: Student, tmp_path: Path
) -> None:
    run = evolve_goal(talker, Scripted(), memory, evolving(found(talker, memory)))
    write_report(memory, run.id, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    images = re.findall(r'(?:src|srcset)="([^"]*)"', text)
    assert len(images) == 8
    for image in images:
        svg(image)
    assert "<script" not in text and "http" not in re.sub(r"data:[^\"]*|<meta[^>]*>", "", text)
    for told in ("evolution", "random search", "founders", "instruction only"):
        assert f"<td>{told}" in text
    for founder in run.settings["evolution"]["founders"]:  # type: ignore[call-overload,index,union-attr]
        assert str(founder) in text


def test_texts_are_escaped(memory: Memory, talker: Student) -> None:
    text = page(memory, talker, goal=HOSTILE_GOAL)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "{{ 7 * 7 }}" in text


def test_a_run_without_generations_has_a_page(memory: Memory, talker: Student) -> None:
    text = page(memory, talker, budget=Budget(candidates=1))
    assert "<img" not in text
    assert "the budget of 1 candidates" in text


def test_a_report_that_was_left_out_is_said(memory: Memory, talker: Student) -> None:
    wide = evolving(found(talker, memory)).effort.model_copy(update={"report_samples": 4000})
    text = page(memory, talker, effort=wide, budget=Budget(generated_tokens=4000))
    assert "The report probes stay closed" in text
    assert "What was measured" not in text


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_odd_populations_are_drawn(theme: Any) -> None:
    alone = [Node("0.0", (), 0.5, "founder")]
    crowd = [Node(f"0.{i}", (), 0.1 * i, "founder") for i in range(40)]
    heirs = [Node(f"1.{i}", ("0.0", f"0.{i}"), -1.0, "mix") for i in range(40)]
    for nodes in (alone, crowd, crowd + heirs):
        svg(drawing(lambda figure, t, n=nodes: family_tree(figure, n, "0.0", t), 3, theme))  # type: ignore[misc]
    turn = {arm: {"best": 0.5, "median": 0.5} for arm in ("evolved", "random")}
    svg(drawing(lambda figure, t: fitness(figure, [{"round": 0, **turn}], t), 3, theme))
    svg(drawing(lambda figure, t: matrix(figure, ["F1"], [[1.0]], t), 3, theme))
    large = np.full((60, 60), -0.5).tolist()
    svg(drawing(lambda figure, t: matrix(figure, ["x"] * 60, large, t), 3, theme))


def test_names_tell_generations() -> None:
    assert (born("0.3"), born("12.r7")) == ((0, 3), (12, 7))


@pytest.mark.parametrize("vectors", [1, 3, 30])
def test_a_spread_is_drawn(vectors: int) -> None:
    done = spread(np.eye(40, vectors), steps=5, repetitions=3)
    text = svg(drawing(lambda figure, theme: adoption(figure, done, theme), 3, LIGHT))
    assert ElementTree.fromstring(text).findall(".//*") != []
    few_names = "legend" in text
    assert few_names == (vectors < 30)
