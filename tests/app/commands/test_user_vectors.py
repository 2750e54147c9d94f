"""`selfsteer user derive|predict|explain`, on a simulated user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfsteer.agents.users import learning
from selfsteer.app.report import user_page
from selfsteer.errors import SelfsteerError
from selfsteer.memory.store import Memory
from selfsteer.pocket.users import simulate
from tests.agents.users.conftest import observed
from tests.app.conftest import Cli
from tests.known import pocket_encoder

HOSTILE = "<script>alert(1)</script> We remember the boat and I weep."


@pytest.fixture(autouse=True)
def learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What users are like is learned once for all tests."""
    monkeypatch.setattr(learning, "fit_encoder", lambda *_, **__: pocket_encoder())


@pytest.fixture
def ann(tmp_path: Path) -> Path:
    """A memory that knows a user."""
    path = tmp_path / "selfsteer.db"
    [user] = simulate(1, seed=21)
    with Memory.open(path) as memory:
        memory.users.add("ann")
        memory.users.observe("ann", observed(user))
    return path


def test_a_vector_is_derived_predicts_and_is_explained(cli: Cli, ann: Path) -> None:
    derived = json.loads(cli("user", "derive", "ann", "--json").stdout)
    assert derived["method"] == "predictive"
    assert derived["verdict"]["messages"] == 10
    assert derived["reviewed"] is None

    predicted = json.loads(cli("user", "predict", "ann", "--profile", "Sad.", "--json").stdout)
    assert set(predicted["arms"]) == {
        *("population", "own", "shuffled", "traits", "history", "profile")
    }
    assert predicted["arms"]["own"]["gain"] > predicted["arms"]["shuffled"]["gain"]
    assert predicted["told"] + predicted["judged"] == 20
    assert 0 < predicted["history_tokens"] < predicted["context_tokens"]

    told = cli("user", "explain", "ann", "--page", "ann.html", "--json")
    explained = json.loads(told.stdout)
    assert len(explained["plus"]) == len(explained["minus"]) == 8
    assert len(explained["influences"]) == 30
    assert "<h1>ann</h1>" in Path("ann.html").read_text()


def test_the_tables_name_what_they_show(cli: Cli, ann: Path) -> None:
    assert "bits per token over the population" in cli("user", "derive", "ann").stdout
    predicted = cli("user", "predict", "ann").stdout
    assert "the user's vector" in predicted and "of 2048 that the student takes" in predicted
    explained = cli("user", "explain", "ann").stdout
    assert "carried by" in explained and "with its opposite" in explained


def test_what_a_user_wrote_is_escaped_on_the_page(cli: Cli, ann: Path) -> None:
    cli("user", "observe", "mal", "--message", HOSTILE)
    cli("user", "derive", "mal")
    assert cli("user", "explain", "mal", "--page", "mal.html").exit_code == 0
    page = Path("mal.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_the_page_is_forgotten_with_the_user(cli: Cli, ann: Path) -> None:
    cli("user", "derive", "ann")
    cli("user", "explain", "ann", "--page", "ann.html")
    assert Path("ann.html").exists()
    cli("user", "forget", "ann", "--yes")
    assert not Path("ann.html").exists()


def test_the_page_is_on_record_before_it_is_written(
    cli: Cli, ann: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill in between must not leave a page that forgetting does not know."""
    cli("user", "derive", "ann")

    def killed(_: object, page: Path) -> None:
        page.write_text("all about ann")
        raise SelfsteerError("That is all.")

    monkeypatch.setattr(user_page, "write_user_page", killed)
    assert cli("user", "explain", "ann", "--page", "ann.html").exit_code == 2
    cli("user", "forget", "ann", "--yes")
    assert not Path("ann.html").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("derive", "bob"), "bob"),
        (("derive", "ann", "--method", "horoscope"), "Unknown method 'horoscope'"),
        (("derive", "ann", "--half-life", "0"), "not positive"),
        (("derive", "ann", "--student", "nowhere/at-all"), "nowhere/at-all"),
        (("explain", "ann"), "derive one with"),
        (("predict", "mute"), "predicting needs"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    cli: Cli, ann: Path, words: tuple[str, ...], sentence: str
) -> None:
    cli("user", "observe", "mute", "--message", "We remember the boat.")
    result = cli("user", *words)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.startswith("error: ")


def test_no_memory_is_made_to_look_for_somebody(cli: Cli) -> None:
    assert cli("user", "derive", "ann").exit_code == 2
    assert not Path("selfsteer.db").exists()
