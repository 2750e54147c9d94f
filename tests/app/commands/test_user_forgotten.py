"""Forgetting a user whose vector was derived, pooled with others', explained and backed up."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from selfsteer.agents.users import learning
from selfsteer.agents.users.learning import KIND
from selfsteer.app import at_large
from selfsteer.errors import MemoryFileError
from selfsteer.memory.store import Memory
from selfsteer.memory.users import Message
from selfsteer.pocket.users import simulate
from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.users.fitting import fit_encoder
from tests.agents.users.conftest import observed
from tests.app.conftest import Cli
from tests.memory.users.traces import numbers, traces

NAMES = [f"user-{number}" for number in range(8)]
ANNA, BERT = NAMES[:2]
SECRET = "We remember zanzibar and I weep."


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven users are enough to be learned from, once over."""
    monkeypatch.setattr(learning, "ENOUGH", len(NAMES) - 1)
    monkeypatch.setattr(learning, "fit_encoder", partial(fit_encoder, epochs=1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory whose users consent and share; what Anna says is like nobody's words."""
    path = tmp_path / "selfsteer.db"
    with Memory.open(path) as memory:
        for number, name in enumerate(NAMES):
            [user] = simulate(1, seed=70 + number, sessions=1)
            memory.users.add(name, consents=True)
            memory.users.observe(name, observed(user, "shared"))
        place = {"session": "more", "source": "api", "scope": "shared"}
        memory.users.observe(ANNA, [Message(order=0, role="user", content=SECRET, **place)])
    return path


def told(cli: Cli, *words: object) -> Any:
    result = cli(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def learned(memory: Memory) -> UserEncoder:
    [pooled] = [one for one in memory.artefacts(KIND)]
    return UserEncoder.from_bytes(memory.get_blob(KIND, pooled.id))


def test_every_byte_goes_and_what_was_pooled_is_learned_anew(
    cli: Cli, path: Path, tmp_path: Path
) -> None:
    anna = told(cli, "user", "derive", ANNA)
    bert = told(cli, "user", "derive", BERT)
    cli("user", "explain", ANNA, "--page", "anna.html")
    cli("memory", "backup", "copy.db")
    with Memory.open(path) as memory:
        first = learned(memory)
        learned_numbers = first.basis.numpy().tobytes()
        vector = numbers(memory.get_vector(anna["vector_id"]))
    assert anna["settings"]["encoder"] == bert["settings"]["encoder"] == first.id
    needles = ["zanzibar", ANNA, anna["id"], anna["vector_id"], vector, learned_numbers]
    found = {trace.rpartition(" in ")[2] for trace in traces(tmp_path, needles)}
    assert {"selfsteer.db", "copy.db", "anna.html"} <= found

    report = told(cli, "user", "forget", ANNA, "--yes")
    assert report["remains"] == [] and report["touched"] == [bert["id"]]
    assert traces(tmp_path, needles) == []
    with Memory.open(path) as memory:
        pooled = memory.users.pooled(KIND, first.student_fingerprint)
        assert pooled is not None and not pooled.stale
        assert set(pooled.sources) == {*NAMES} - {ANNA}
        assert report["rebuilt"] == [pooled.artefact_id]
        assert learned(memory).id != first.id
    # Bert's version names the old map still, and is made with the new one when he is derived again.
    assert told(cli, "user", "derive", BERT)["settings"]["encoder"] == report["rebuilt"][0]


def test_it_is_learned_later_where_that_is_asked_for_or_cannot_be_done(
    cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(cli, "user", "derive", BERT)
    result = cli("user", "forget", ANNA, "--yes", "--no-rebuild")
    assert "stale" in result.stdout and "the next time that it is needed" in result.stdout
    with Memory.open(path) as memory:
        assert memory.artefacts(KIND) == []


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (MemoryFileError("No space."), 2)], ids=str
)
@pytest.mark.parametrize("json_", [False, True], ids=["text", "json"])
def test_what_was_removed_is_told_though_learning_anew_is_stopped(
    cli: Cli,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: BaseException,
    code: int,
    json_: bool,
) -> None:
    bert = told(cli, "user", "derive", BERT)
    cli("memory", "backup", "copy.db")
    path.with_name("copy.db").rename(path.with_name("away.db"))

    def stopped(*_: object) -> None:
        raise stop

    monkeypatch.setattr(at_large, "at_large", stopped)
    result = cli("user", "forget", ANNA, "--yes", *["--json"][: int(json_)])
    assert result.exit_code == code
    if json_:
        report = json.loads(result.stdout)
        assert report["rebuilt"] == [] and report["touched"] == [bert["id"]]
        assert "copy.db is not there" in report["remains"][0]
    else:
        assert f"{ANNA} is forgotten: " in result.stdout
        assert "NOT REACHED: The backup" in result.stdout


def test_who_withdraws_is_told_whose_vectors_are_touched(cli: Cli, path: Path) -> None:
    bert = told(cli, "user", "derive", BERT)
    assert told(cli, "user", "consent", ANNA, "--no")["touched"] == [bert["id"]]
    assert "derive again" in cli("user", "consent", ANNA, "--no").stdout
    assert told(cli, "user", "consent", ANNA, "--yes")["touched"] == []
