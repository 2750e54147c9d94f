"""`vector compose|tree|explain`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.breeding import weighted_sum
from selfsteer.steering.vectors import SteeringVector
from tests.app.conftest import Cli
from tests.steering.test_vectors import make

HOSTILE = "[bold]loud[/bold]\x1b[2J"


@pytest.fixture
def two(memory: Memory) -> tuple[SteeringVector, SteeringVector]:
    first, second = make(0, concept=HOSTILE), make(1)
    memory.put_vector(first)
    memory.put_vector(second)
    return first, second


def test_a_composed_vector_is_kept(
    cli: Cli, memory: Memory, two: tuple[SteeringVector, SteeringVector]
) -> None:
    first, second = two
    wanted = weighted_sum([(0.7, first), (0.3, second)])
    assert cli("vector", "compose", f"0.7*{first.id} + 0.3*{second.id}").stdout == f"{wanted.id}\n"
    assert memory.get_vector(wanted.id) == wanted
    told = json.loads(
        cli("vector", "compose", f"{first.id} + {second.id}", "--strengths", "--json").stdout
    )
    even = weighted_sum([(1, first), (1, second)], strengths=True)
    assert told == {
        "id": even.id,
        "concept": even.concept,
        "method": "weighted_sum",
        "parents": [first.id, second.id],
        "steps": [even.id],
    }


def test_steps_on_the_way_are_kept_too(
    cli: Cli, memory: Memory, two: tuple[SteeringVector, SteeringVector]
) -> None:
    first, second = two
    name = cli("vector", "compose", f"orth(2*{first.id}; {second.id})").stdout.strip()
    told = json.loads(cli("vector", "tree", name, "--json").stdout)
    assert told["id"] == name
    assert all(member["stored"] for member in told["family"])
    assert [member["method"] for member in told["family"]] == [
        "orthogonalise",
        "weighted_sum",
        "mean_difference",
        "mean_difference",
    ]


def test_a_mistake_creates_no_memory(cli: Cli, tmp_path: Path) -> None:
    assert cli("vector", "compose", "0123456789abcdef", "--db", "none.db").exit_code == 2
    assert not (tmp_path / "none.db").exists()


def test_mistakes_in_expressions(cli: Cli, two: tuple[SteeringVector, SteeringVector]) -> None:
    for text, message in (
        (f"{two[0].id} +", "its end where a vector or a number should be"),
        ("0123456789abcdef", "holds no vector 0123456789abcdef"),
    ):
        result = cli("vector", "compose", text)
        assert result.exit_code == 2
        assert message in result.stderr


def test_a_tree_is_drawn(
    cli: Cli, memory: Memory, two: tuple[SteeringVector, SteeringVector]
) -> None:
    first, second = two
    lost = first - second
    child = lost + second
    memory.put_vector(child)
    top = weighted_sum([(1, child), (2, second)])
    memory.put_vector(top)
    lines = cli("vector", "tree", top.id).stdout.splitlines()
    assert lines[0].startswith(f"{top.id} weighted_sum: ")
    assert [line.lstrip("├└─│ ").split(";")[0] for line in lines[1:]] == [
        f"{child.id} add: {child.concept}".replace("\x1b", "\N{REPLACEMENT CHARACTER}"),
        f"{lost.id}, not in this memory",
        f"{second.id}, see its other place",
        f"{second.id} mean_difference: concept 1",
    ]
    assert f"data {second.dataset_id}" in lines[-1]


def test_the_tree_names_the_runs(cli: Cli, accepted: Run) -> None:
    name = str((accepted.verdict or {})["vector_id"])
    (member,) = json.loads(cli("vector", "tree", name, "--json").stdout)["family"]
    assert member["runs"] == [accepted.id]
    assert f"runs {accepted.id}" in cli("vector", "tree", name).stdout


def test_a_composed_vector_is_explained(
    cli: Cli, memory: Memory, two: tuple[SteeringVector, SteeringVector]
) -> None:
    first, second = two
    memory.put_vector(other := make(2, concept="other"))
    memory.put_vector(2 * other)
    memory.put_vector(make(3, layers=(0,)))
    target = weighted_sum([(0.7, first), (0.3, second)])
    memory.put_vector(target)
    told = json.loads(cli("vector", "explain", target.id, "--json").stdout)
    rows = {row.pop("id"): row for row in told["made_of"]}
    assert {name: row["ancestor"] for name, row in rows.items()} == {
        first.id: True,
        second.id: True,
        other.id: False,
    }
    assert rows[first.id]["coefficient"] == pytest.approx(0.7, abs=1e-5)
    assert rows[first.id]["concept"] == HOSTILE
    assert told["residual"] < 1e-5
    assert [row["layer"] for row in told["layers"]] == [-1, 0, 3]
    assert (told["dependent"], len(told["unfit"])) == ([(2 * other).id], 1)
    assert told["nearest"][0]["id"] == first.id
    page = cli("vector", "explain", target.id).stdout
    assert "0.700" in page and "[bold]loud[/bold]" in page and "\x1b" not in page
    assert "unexplained: 0.000 of the norm" in page
    assert "1 more already spanned by these" in page
    assert "1 more without these layers" in page


def test_a_file_is_explained_by_the_memory(
    cli: Cli, two: tuple[SteeringVector, SteeringVector]
) -> None:
    (two[0] * 3).save("v.safetensors")
    told = json.loads(cli("vector", "explain", "v.safetensors", "--json").stdout)
    assert told["made_of"][0]["coefficient"] == pytest.approx(3)
