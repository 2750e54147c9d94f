"""Bundles: from one memory to another, and everything that only looks like one."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Candidate, Charge, Memory, PaidCall, Round, Run
from selfsteer.memory.bundle_reading import read_bundle
from selfsteer.memory.bundle_writing import write_bundle
from selfsteer.memory.check import Fault, check, quarantine
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.vectors import SteeringVector
from tests.memory.damage import alter_blob

FINGERPRINT = "f" * 64
EMPTY = {"format": "selfsteer.bundle", "version": 1, "artefacts": [], "runs": []}


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "other.db") as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bundle.zip"


@pytest.fixture
def live(
    memory: Memory,
    dataset: ContrastiveDataset,
    vector: SteeringVector,
    start_run: Callable[..., Run],
) -> Callable[..., Run]:
    """A whole life of a run, from its goal to its end."""

    def whole(goal: str = "sound grumpy", supersedes: int | None = None) -> Run:
        run = start_run(memory, goal)
        own = replace(vector, dataset_id=memory.put_dataset(dataset), concept=goal)
        memory.put_vector(own)
        call = PaidCall(run_id=run.id, step="propose/0", role="propose", attempt=1, request={})
        memory.ledger.begin(call, Charge())
        memory.ledger.commit(call, "a reply")
        memory.runs.add_round(
            Round(
                run_id=run.id,
                number=0,
                dataset_id=dataset.id,
                vector_id=own.id,
                decision="accept",
                reason="it does",
            )
        )
        memory.runs.add_event(run.id, "note", {"text": "Ça va\u2028"}, key="once")
        memory.runs.store_verdict(run.id, {"vector_id": own.id})
        replies = memory.put_generations([{"reply": goal}])
        memory.runs.add_candidates(
            [
                Candidate(
                    run_id=run.id,
                    round=0,
                    split="report",
                    number=0,
                    plan={"edits": [{"vector": own.id}]},
                    steerability=0.5,
                    n=1,
                    generations_id=replies,
                )
            ]
        )
        memory.remember(
            run.id,
            own.id,
            goal=goal,
            plan={},
            scores={},
            fingerprint=FINGERPRINT,
            supersedes=supersedes,
        )
        return memory.runs.finish(run.id, "accepted", seconds=1.5)

    return whole


def everything(memory: Memory) -> dict[str, Any]:
    tables = ("runs", "rounds", "candidates", "events", "ledger", "remembered", "doubts")
    rows = {name: memory.connection.query(f"SELECT * FROM {name} ORDER BY 1, 2") for name in tables}
    columns = "id, kind, sha256, size, meta, data"
    return rows | {
        "artefacts": memory.connection.query(f"SELECT {columns} FROM artefacts ORDER BY id")
    }


def rezip(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))


def of_contents(path: Path, contents: object, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("bundle.json", json.dumps(contents))
        for name, data in members.items():
            zipped.writestr(name, data)
    return path


def refusal(memory: Memory, path: Path) -> str:
    before = everything(memory)
    with pytest.raises(MemoryFileError) as caught:
        read_bundle(memory, path)
    assert everything(memory) == before
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_a_whole_memory_comes_over_as_it_is(
    memory: Memory, other: Memory, live: Callable[..., Run], file: Path
) -> None:
    first = live()
    live("sound very grumpy", supersedes=memory.remembered()[0].id)
    doubter = live("be terse")
    memory.doubt(1, doubter.id, thresholds={}, scores={"steerability": 0.1})
    write_bundle(memory, file)
    added = read_bundle(other, file)
    assert len(added.runs) == 3 and first.id in added.runs
    assert everything(other) == everything(memory)
    assert check(other).faults == ()
    assert [hit.exact for hit in other.recall("be terse", FINGERPRINT)] == [True]


def test_importing_twice_adds_nothing(
    memory: Memory, other: Memory, live: Callable[..., Run], file: Path
) -> None:
    live()
    write_bundle(memory, file)
    read_bundle(other, file)
    before = everything(other)
    assert read_bundle(other, file).model_dump() == {"artefacts": (), "runs": ()}
    assert everything(other) == before
    assert read_bundle(memory, file).runs == ()


def test_a_run_takes_along_what_it_refers_to_and_no_more(
    memory: Memory, other: Memory, live: Callable[..., Run], file: Path
) -> None:
    first, second = live(), live("be terse")
    memory.put_generations([{"reply": "of nobody"}])
    bundle = write_bundle(memory, file, run_ids=[second.id])
    assert [one.run.id for one in bundle.runs] == [second.id]
    assert sorted(one.kind for one in bundle.artefacts) == ["dataset", "generations", "vector"]
    read_bundle(other, file)
    assert [run.id for run in other.runs.all()] == [second.id]
    assert check(other).faults == ()
    # What it replaced and what it was doubted by may follow later.
    write_bundle(memory, file.with_name("first.zip"), run_ids=[first.id])
    assert read_bundle(other, file.with_name("first.zip")).runs == (first.id,)


def test_a_vector_takes_along_its_data_and_parents(
    memory: Memory,
    other: Memory,
    file: Path,
    vector: SteeringVector,
    dataset: ContrastiveDataset,
) -> None:
    parent = replace(vector, dataset_id=memory.put_dataset(dataset))
    child = 2.0 * parent
    memory.put_vector(parent)
    memory.put_vector(child)
    memory.put_vector(vector)
    write_bundle(memory, file, vector_ids=[child.id])
    assert set(read_bundle(other, file).artefacts) == {dataset.id, parent.id, child.id}
    assert other.get_vector(child.id).to_bytes() == child.to_bytes()
    assert other.runs.all() == []


def test_an_import_mends_what_is_in_quarantine(
    memory: Memory, file: Path, path: Path, vector: SteeringVector
) -> None:
    memory.put_vector(vector)
    write_bundle(memory, file)
    alter_blob(path, vector.id)
    with Memory.open(path) as again:
        quarantine(again, check(again).faults)
        assert read_bundle(again, file).artefacts == (vector.id,)
        assert again.get_vector(vector.id) == vector


def test_a_run_is_not_exported_without_a_blob_that_it_needs(
    memory: Memory, live: Callable[..., Run], file: Path
) -> None:
    bad, good = live(), live("be terse")
    vector = str((bad.verdict or {})["vector_id"])
    quarantine(memory, [Fault(kind="blob", where="", what="", artefact_id=vector)])
    with pytest.raises(MemoryFileError, match=f"{vector} .* in quarantine"):
        write_bundle(memory, file, run_ids=[bad.id])
    assert not file.exists()
    write_bundle(memory, file, run_ids=[good.id])


def test_of_everything_what_is_sound_is_exported(
    memory: Memory, live: Callable[..., Run], file: Path, path: Path, tmp_path: Path
) -> None:
    bad, good = live(), live("be terse")
    vector = str((bad.verdict or {})["vector_id"])
    alter_blob(path, vector)
    with Memory.open(path) as again, pytest.warns(UserWarning, match=f"{vector} .*left out"):
        bundle = write_bundle(again, file)
    assert [one.run.id for one in bundle.runs] == [good.id]
    assert vector not in {one.id for one in bundle.artefacts}
    with Memory.open(tmp_path / "other.db") as other:
        read_bundle(other, file)
        assert [run.id for run in other.runs.all()] == [good.id]
        assert not check(other).faults


def test_what_cannot_be_exported(
    memory: Memory, run: Run, file: Path, path: Path, vector: SteeringVector
) -> None:
    with pytest.raises(MemoryFileError, match="has not ended"):
        write_bundle(memory, file, run_ids=[run.id])
    with pytest.raises(MemoryFileError, match="holds no run"):
        write_bundle(memory, file, run_ids=["beef"])
    with pytest.raises(MemoryFileError, match="holds no vector"):
        write_bundle(memory, file, vector_ids=[vector.id])
    file.write_text("precious")
    with pytest.raises(MemoryFileError, match="exists"):
        write_bundle(memory, file)
    assert file.read_text() == "precious"
    file.unlink()
    memory.put_vector(vector)
    alter_blob(path, vector.id)
    with Memory.open(path) as again, pytest.raises(MemoryFileError, match="altered"):
        write_bundle(again, file, vector_ids=[vector.id])
    assert not file.exists()


def test_another_run_of_the_same_name_is_refused(
    memory: Memory, other: Memory, live: Callable[..., Run], file: Path
) -> None:
    run = live()
    write_bundle(memory, file)
    other.runs.start(
        "x", student="", fingerprint="", controller="", seed=0, settings={}, run_id=run.id
    )
    assert "another one" in refusal(other, file)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + b"\0" * 100])
def test_a_file_of_something_else(other: Memory, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert "no bundle" in refusal(other, file)


def test_a_file_cut_short(
    memory: Memory, other: Memory, live: Callable[..., Run], file: Path
) -> None:
    live()
    write_bundle(memory, file)
    file.write_bytes(file.read_bytes()[:-30])
    assert "no bundle" in refusal(other, file)


def test_a_missing_file_and_a_folder(other: Memory, file: Path) -> None:
    assert "cannot be read" in refusal(other, file)
    assert "cannot be read" in refusal(other, file.parent)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "blobs/../../evil.bin", "blobs/x.bin", "C:\\x", "blobs/"]
)
def test_names_that_lead_elsewhere(other: Memory, file: Path, name: str) -> None:
    of_contents(file, EMPTY, **{name: b"x"})
    assert "which no bundle does" in refusal(other, file)
    assert {entry.name for entry in file.parent.iterdir()} <= {
        *("bundle.zip", "memory.db", "other.db"),
        *("other.db-wal", "other.db-shm"),
    }


def test_what_would_grow_is_refused(
    other: Memory, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"blobs/{'0' * 16}.bin"
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("bundle.json", json.dumps(EMPTY))
        zipped.writestr(name, b"\0" * 10_000, compress_type=zipfile.ZIP_DEFLATED)
    assert "is compressed" in refusal(other, file)
    monkeypatch.setattr("selfsteer.memory.bundle_reading.MOST_CONTENTS", 10)
    assert "larger than 10 bytes" in refusal(other, of_contents(file, EMPTY))


def test_a_name_that_stands_twice(other: Memory, file: Path) -> None:
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("bundle.json", json.dumps(EMPTY))
        with pytest.warns(UserWarning, match="Duplicate"):
            zipped.writestr("bundle.json", json.dumps(EMPTY))
    assert "twice" in refusal(other, file)


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (EMPTY | {"version": 2}, "newer selfsteer"),
        (EMPTY | {"format": "zoo"}, "format"),
        (EMPTY | {"more": 1}, "more"),
        ([], "malformed"),
        (EMPTY | {"runs": [{"run": {}}]}, "malformed"),
    ],
)
def test_contents_that_are_none(other: Memory, file: Path, contents: object, said: str) -> None:
    assert said in refusal(other, of_contents(file, contents))


def test_no_contents_at_all(other: Memory, file: Path) -> None:
    with zipfile.ZipFile(file, "w"):
        pass
    assert "has no bundle.json" in refusal(other, file)
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("bundle.json", b"[" * 100_000)
    assert "not JSON" in refusal(other, file)


def test_a_number_that_no_memory_keeps(
    memory: Memory, other: Memory, live: Callable[..., Run], file: Path
) -> None:
    live()
    write_bundle(memory, file)

    def spoil(name: str, data: bytes) -> bytes:
        return data.replace(b'"settings":{', b'"settings":{"x":1e999,')

    bad = file.with_name("bad.zip")
    rezip(file, bad, spoil)
    assert "does not take" in refusal(other, bad)


def test_a_blob_that_is_not_listed(other: Memory, file: Path) -> None:
    of_contents(file, EMPTY, **{f"blobs/{'0' * 16}.bin": b"x"})
    assert "not those that it lists" in refusal(other, file)


@pytest.mark.parametrize("kind", ["vector", "dataset", "generations"])
def test_bytes_that_are_not_what_they_are_called(
    memory: Memory, other: Memory, live: Callable[..., Run], file: Path, kind: str
) -> None:
    live()
    [changed] = [one for one in write_bundle(memory, file).artefacts if one.kind == kind]
    bad = file.with_name("bad.zip")
    rezip(file, bad, lambda name, data: data[::-1] if name == changed.member else data)
    assert "not what its name says" in refusal(other, bad)

    def lie(name: str, data: bytes) -> bytes:
        """The hash is made to fit; only the content can tell."""
        if name == changed.member:
            return b"x" * changed.size
        digest = hashlib.sha256(b"x" * changed.size).hexdigest().encode()
        return data.replace(changed.sha256.encode(), digest) if name == "bundle.json" else data

    rezip(file, bad, lie)
    assert changed.id in refusal(other, bad)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one["run"].update(status="running"), "has not ended"),
        (lambda one: one["events"][0].update(run_id="beef"), "rows of another run"),
        (lambda one: one["remembered"].update(run_id="beef"), "rows of another run"),
        (lambda one: one["ledger"][0].update(request="another"), "not what its name says"),
        (lambda one: one["rounds"][0].update(vector_id="0" * 16), "does not take"),
        (lambda one: one["run"].update(verdict_stored=None), "does not take"),
        (lambda one: one["run"].update(seed=2**63), "does not take"),
        (lambda one: one["run"].update(goal="\ud800"), "'utf-8' codec"),
        (lambda one: one["run"].update(settings={"x": math.nan}), "not JSON"),
        (lambda one: one["run"].update(settings={"x": -math.inf}), "not JSON"),
    ],
)
def test_rows_that_do_not_belong(
    memory: Memory,
    other: Memory,
    live: Callable[..., Run],
    file: Path,
    change: Callable[[dict[str, Any]], None],
    said: str,
) -> None:
    live()
    write_bundle(memory, file)

    def spoil(name: str, data: bytes) -> bytes:
        if name != "bundle.json":
            return data
        contents = json.loads(data)
        change(contents["runs"][0])
        return json.dumps(contents).encode()

    bad = file.with_name("bad.zip")
    rezip(file, bad, spoil)
    assert said in refusal(other, bad)
