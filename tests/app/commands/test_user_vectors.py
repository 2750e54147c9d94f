"""`selfsteer user derive|predict|explain`, on a simulated user."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from selfsteer.agents.users import learning
from selfsteer.app.cli import app
from selfsteer.app.commands import user_vectors
from selfsteer.app.report import user_page
from selfsteer.errors import SelfsteerError
from selfsteer.memory.store import Memory
from selfsteer.memory.users import Message
from selfsteer.pocket.users import simulate
from selfsteer.steering.users.known import Known
from tests.agents.users.conftest import observed
from tests.app.conftest import Cli
from tests.known import pocket_encoder, pocket_known
from tests.memory.damage import alter_blob

PLACE = ("--layer", 3, "--strength", 0.1)
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
    assert derived["verdict"]["measure"] == "messages"
    assert derived["verdict"]["judged"] == 10
    assert derived["reviewed"] is None

    predicted = json.loads(cli("user", "predict", "ann", "--profile", "Sad.", "--json").stdout)
    arms = predicted["arms"]
    assert set(arms) == {*("none", "population", "own", "shuffled", "traits", "history", "profile")}
    assert arms["own"]["messages"]["value"] > arms["shuffled"]["messages"]["value"]
    assert arms["shuffled"]["messages"]["ahead"] > 0
    assert predicted["judged"] == {"messages": 10, "choices": 5, "ratings": 5}
    context = predicted["context"]
    assert 0 < context["messages"] < context["of"]
    assert context["reach"] <= context["tokens"] < context["room"]

    told = cli("user", "explain", "ann", "--page", "ann.html", "--json")
    explained = json.loads(told.stdout)
    assert len(explained["plus"]) == len(explained["minus"]) == 8
    assert len(explained["influences"]) == 20  # the map reads messages, and no choices
    assert "<h1>ann</h1>" in Path("ann.html").read_text()


def test_the_tables_name_what_they_show(cli: Cli, ann: Path) -> None:
    assert "bits per token over the population" in cli("user", "derive", "ann").stdout
    predicted = cli("user", "predict", "ann").stdout
    assert "the user's vector" in predicted and "own ahead by" in predicted
    assert "bits per token, of 10 messages" in predicted
    assert "share of choices right, of 5 choices" in predicted
    assert "rank correlation with ratings, of 5 ratings" in predicted
    assert "the student reads 2048 and remembers 91" in predicted
    explained = cli("user", "explain", "ann").stdout
    assert "carried by" in explained and "with its opposite" in explained


def test_vectors_in_use_are_reviewed(cli: Cli, ann: Path) -> None:
    assert cli("user", "review", "ann").exit_code == 2
    assert json.loads(cli("user", "review", "--json").stdout) == {"users": {}}
    cli("user", "derive", "ann")
    assert json.loads(cli("user", "review", "--json").stdout) == {"users": {"ann": None}}
    assert "too little came since" in cli("user", "review", "ann").stdout
    [eve] = simulate(1, seed=22, kind="adversarial")
    with Memory.open(ann) as memory:
        memory.users.observe(
            "ann",
            [
                Message(session="since", order=n, source="api", role="user", content=s.text)
                for n, s in enumerate(s for s in eve.sessions[1] if s.role == "user")
            ],
        )
    in_use = json.loads(cli("user", "predict", "ann", "--in-use", "--json").stdout)
    assert in_use["judged"] == {"messages": 10}
    reviewed = json.loads(cli("user", "review", "ann", "--json").stdout)["users"]["ann"]
    assert reviewed["status"] == ("retired" if reviewed["gain"] <= 0 else "in_use")
    # Two forwards of other batches round otherwise: a millionth of a bit a token.
    ahead = in_use["arms"]["population"]["messages"]["ahead"]
    assert reviewed["gain"] == pytest.approx(ahead, abs=1e-6)


def test_a_vector_that_was_altered_on_disk_is_told_to_be_retired(cli: Cli, ann: Path) -> None:
    for words in (["review"], ["review", "ann", "--json"], ["derive", "ann"]):
        version = json.loads(cli("user", "derive", "ann", "--json").stdout)
        assert version["status"] == "in_use"
        alter_blob(ann, version["vector_id"])
        told = cli("user", *words).stdout
        assert "its vector was altered on disk" in told and "retired" in told
        assert "too little came since" not in told
        if "--json" in words:
            reason = {"status": "retired", "reason": "its vector was altered on disk"}
            assert json.loads(told) == {"users": {"ann": reason}}


def test_a_vector_of_another_map_is_not_explained_by_this_one(
    cli: Cli, ann: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("user", "derive", "ann")
    encoder = replace(pocket_encoder(), users=1)
    known = Known(encoder, pocket_known().traits)
    monkeypatch.setattr(user_vectors, "_known", lambda *_: known)
    result = cli("user", "explain", "ann")
    assert result.exit_code == 2
    assert "derive it again with 'selfsteer user derive ann'" in result.stderr


def test_the_version_before_may_be_of_another_method(cli: Cli, ann: Path) -> None:
    cli("user", "derive", "ann", "--method", "preference")
    cli("user", "derive", "ann")
    told = json.loads(cli("user", "explain", "ann", "--json").stdout)
    assert told["change"]["method"] == "user_preference"
    assert -1 <= told["change"]["cosine"] <= 1
    assert told["change"]["traits"].keys() == told["traits"].keys()


def test_choices_and_ratings_carry_a_vector_of_preferences(cli: Cli, ann: Path) -> None:
    cli("user", "derive", "ann", "--method", "preference")
    told = json.loads(cli("user", "explain", "ann", "--json").stdout)
    assert len(told["influences"]) == 20
    with Memory.open(ann) as memory:
        kinds = {one.id: one.observation.kind for one in memory.users.observations("ann")}
    assert {kinds[one["source"]] for one in told["influences"]} == {"preference", "rating"}


def test_the_vector_in_use_steers_replies(cli: Cli, ann: Path) -> None:
    words = ("generate", "Tell me something.", "--seed", 3, "--max-tokens", 12, "--json")
    refused = cli(*words, "--user", "ann")
    assert refused.exit_code == 2 and "no vector in use" in refused.stderr
    version = json.loads(cli("user", "derive", "ann", "--json").stdout)
    assert version["status"] == "in_use"
    plain, steered = (json.loads(cli(*words, *more).stdout) for more in ((), ("--user", "ann")))
    assert plain["plan"] is None and plain["user"] is None
    assert steered["plan"] == version["plan"] and steered["user"] == "ann"
    assert steered["reply"] != plain["reply"]
    both = json.loads(cli(*words, "--user", "ann", "--vector", version["vector_id"], *PLACE).stdout)
    assert [edit["strength"] for edit in both["plan"]["edits"]] == [
        version["plan"]["edits"][0]["strength"],
        0.1,
    ]


def test_the_vector_in_use_steers_a_talk(cli: Cli, ann: Path) -> None:
    words = ["chat", "--user", "ann", "--json", "--max-tokens", "8"]
    refused = CliRunner().invoke(app, words, input="one\n")
    assert refused.exit_code == 2 and "no vector in use" in refused.stderr
    version = json.loads(cli("user", "derive", "ann", "--json").stdout)
    told = CliRunner().invoke(app, words, input="one\n/revert\ntwo\n")
    assert told.exit_code == 0, told.stderr
    turns = [json.loads(line) for line in told.stdout.splitlines()]
    assert [turn["plan"] for turn in turns] == [version["plan"]] * 2
    assert [turn["active"] for turn in turns] == [[], []]
    assert "the vector of user ann steers every reply" in told.stderr
    for lacking in (["chat"], [*words, "--self-steer"]):
        missing = CliRunner().invoke(app, lacking, input="one\n")
        assert missing.exit_code == 2 and "--vectors is missing" in missing.stderr


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
        (("predict", "ann", "--half-life", "-1"), "not positive"),
        (("predict", "ann", "--in-use"), "no vector in use"),
        (("derive", "mute", "--method", "preference"), "predictive, contrast"),
        (("review", "bob"), "bob"),
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
