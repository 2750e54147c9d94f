"""Clearing out what nothing refers to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from selfsteer.memory import Candidate, Memory, Run
from selfsteer.memory.check import check, quarantine
from selfsteer.memory.collect import collect, unreferenced
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.vectors import SteeringVector
from tests.memory.damage import alter_blob

# Times are kept to the millisecond, and a blob of this very moment is not yet older than it.
NOW = timedelta(seconds=-1)


def end(memory: Memory, run: Run) -> None:
    memory.runs.finish(run.id, "rejected", seconds=1.0)


def left(memory: Memory) -> list[str]:
    return [artefact.id for artefact in unreferenced(memory, NOW)]


def test_what_nothing_names_is_deleted_and_its_bytes_are_gone(memory: Memory, path: Path) -> None:
    word = b"unmistakable" * 2000
    name = memory.put_blob("generations", word)
    assert left(memory) == [name]
    assert [artefact.id for artefact in collect(memory, NOW)] == [name]
    assert memory.artefacts("generations") == []
    log = path.with_name(f"{path.name}-wal")
    assert b"unmistakable" not in path.read_bytes() + log.read_bytes()
    assert collect(memory, NOW) == []


def test_listing_deletes_nothing(memory: Memory) -> None:
    name = memory.put_blob("generations", b"[]")
    unreferenced(memory, NOW)
    assert memory.get_blob("generations", name) == b"[]"


def test_what_is_young_stays(memory: Memory) -> None:
    memory.put_blob("generations", b"[]")
    assert unreferenced(memory) == []
    assert collect(memory, timedelta(hours=1)) == []


@pytest.mark.parametrize("status", ["stopped", "failed", "waiting"])
def test_what_a_run_may_come_back_to_stays(memory: Memory, run: Run, status: str) -> None:
    name = memory.put_generations([{"reply": "not judged yet"}])
    memory.runs.finish(run.id, status, seconds=1.0)  # type: ignore[arg-type]
    assert left(memory) == []
    end(memory, run)
    assert left(memory) == [name]


def refer_by_key(memory: Memory, run: Run, name: str) -> None:
    memory.runs.add_candidates(
        [
            Candidate(
                run_id=run.id,
                round=0,
                split="development",
                number=0,
                plan={},
                n=1,
                generations_id=name,
            )
        ]
    )


def refer_in_an_event(memory: Memory, run: Run, name: str) -> None:
    memory.runs.add_event(run.id, "started", {"deep": [{"anything": f"see {name}."}]})


def refer_in_a_verdict(memory: Memory, run: Run, name: str) -> None:
    memory.runs.store_verdict(run.id, {"replies": name})


def refer_from_a_blob(memory: Memory, run: Run, name: str) -> None:
    other = memory.put_blob("report", b"other", {"about": name})
    refer_in_an_event(memory, run, other)


@pytest.mark.parametrize(
    "refer", [refer_by_key, refer_in_an_event, refer_in_a_verdict, refer_from_a_blob]
)
def test_what_is_named_anywhere_stays(
    memory: Memory, run: Run, refer: Callable[[Memory, Run, str], None]
) -> None:
    name = memory.put_blob("generations", b"[1]")
    other = memory.put_blob("generations", b"[2]")
    refer(memory, run, name)
    end(memory, run)
    assert left(memory) == [other]


def test_a_blob_does_not_keep_itself(memory: Memory) -> None:
    name = memory.put_blob("report", b"x", {"about": "0" * 16})
    again = memory.put_blob("report", b"y", {"me": name}, artefact_id="1" * 16)
    assert left(memory) == [again]


def test_vectors_stay_with_their_data(
    memory: Memory, vector: SteeringVector, dataset: ContrastiveDataset
) -> None:
    memory.put_dataset(dataset)
    assert left(memory) == [dataset.id]
    from_it = SteeringVector(**{**vars(vector), "dataset_id": dataset.id})
    memory.put_vector(from_it)
    assert left(memory) == []


def test_a_blob_in_quarantine_can_go(memory: Memory, path: Path) -> None:
    name = memory.put_blob("generations", b"unmistakable" * 20)
    alter_blob(path, name)
    with Memory.open(path) as again:
        quarantine(again, check(again).faults)
        assert left(again) == [name]
        collect(again, NOW)
        assert check(again).faults == ()
