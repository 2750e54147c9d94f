"""`user list|observe|show|consent|forget`, and what is kept for a user elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from selfsteer.agents import loop
from selfsteer.agents.loop import run_goal
from selfsteer.errors import SelfsteerError
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import Scripted, settings
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence
from tests.memory.users.traces import numbers, traces

LINES = [
    {"messages": [{"role": "user", "content": "Hello."}], "session": "s"},
    {"rating": {"prompt": "Hello.", "reply": "Hi.", "rating": 4}},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lines.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)))
    return path


def told(cli: Cli, *words: object) -> Any:
    result = cli(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(cli: Cli, *words: object) -> str:
    result = cli(*words)
    assert result.exit_code == 2
    return one_sentence(result.stderr)


def test_a_file_is_observed_listed_and_shown(cli: Cli, file: Path) -> None:
    report = told(cli, "user", "observe", "anna", file, "--scope", "shared")
    assert report == {
        **{"user": "anna", "users": ["anna"], "lines": 2},
        **{"added": 2, "skipped": 0, "extended": 0, "left_out": 0},
    }
    assert "0 observations added; of 2 lines 2 were known" in (
        cli("user", "observe", "anna", file, "--scope", "shared").stdout
    )
    [listed] = told(cli, "user", "list")["users"]
    assert (listed["id"], listed["consents"]) == ("anna", False)
    assert listed["counts"] == {"message": 1, "rating": 1}
    assert re.search(r"anna +no +1 +0 +1 +0 +0", cli("user", "list").stdout)
    shown = told(cli, "user", "show", "anna")
    assert (shown["counts"], shown["versions"]) == (listed["counts"], [])
    assert "1 messages, 1 ratings" in cli("user", "show", "anna").stdout


def test_a_file_about_many_users_is_imported(cli: Cli, tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Hello."}, {"role": "tool", "content": "noon"}]
    lines = [{"user": name, "messages": said} for name in ("anna", "bert")]
    (tmp_path / "many").write_text("\n".join(map(json.dumps, lines)))
    assert "about user 'bert'" in refused(cli, "user", "observe", "anna", "many")
    report = told(cli, "user", "import", "many", "--scope", "shared")
    assert (report["users"], report["added"], report["left_out"]) == (["anna", "bert"], 2, 2)
    assert "2 calls of tools and answers left out" in (
        cli("user", "import", "many", "--scope", "shared").stdout
    )
    assert [one["id"] for one in told(cli, "user", "list")["users"]] == ["anna", "bert"]
    (tmp_path / "many").write_text(json.dumps({"messages": said}))
    assert "does not say whose it is" in refused(cli, "user", "import", "many")
    assert "no file at" in refused(cli, "user", "import", "none.jsonl")


def test_what_is_shown_as_lines_is_read_again(cli: Cli, file: Path, tmp_path: Path) -> None:
    cli("user", "observe", "anna", file)
    lines = cli("user", "show", "anna", "--lines").stdout
    (tmp_path / "again").write_text(lines)
    assert told(cli, "user", "observe", "anna", "again")["added"] == 0
    assert told(cli, "user", "observe", "bert", "again")["added"] == 2


def test_a_session_of_two_scopes_is_read_again(cli: Cli, memory: Memory, tmp_path: Path) -> None:
    cli("user", "observe", "cat", "--message", "A.")
    cli("user", "observe", "cat", "--message", "B.", "--scope", "shared")
    (tmp_path / "lines").write_text(cli("user", "show", "cat", "--lines").stdout)
    assert told(cli, "user", "observe", "cat", "lines")["added"] == 0
    assert told(cli, "user", "observe", "dog", "lines")["added"] == 2
    dog: list[Any] = [kept.observation for kept in memory.users.observations("dog")]
    assert [(one.content, one.order, one.scope) for one in dog] == [
        ("A.", 0, "private"),
        ("B.", 1, "shared"),
    ]
    assert "either --lines or --json" in refused(cli, "user", "show", "cat", "--lines", "--json")


def test_messages_come_one_behind_the_other(cli: Cli, memory: Memory) -> None:
    for text, role in (("Hello.", "user"), ("Hi.", "assistant"), ("Hello.", "user")):
        assert told(cli, "user", "observe", "anna", "--message", text, "--role", role)["added"] == 1
    observed: list[Any] = [kept.observation for kept in memory.users.observations("anna")]
    assert [(one.order, one.content, one.source) for one in observed] == [
        (0, "Hello.", "cli"),
        (1, "Hi.", "cli"),
        (2, "Hello.", "cli"),
    ]


def test_consent_is_given_and_taken_back(cli: Cli) -> None:
    cli("user", "observe", "anna", "--message", "Hello.")
    assert told(cli, "user", "consent", "anna", "--yes")["consents"] is True
    assert cli("user", "consent", "anna", "--no").stdout == "anna: consents: no\n"
    assert cli("user", "consent", "anna").exit_code == 2


def test_mistakes_are_one_sentence_and_make_no_memory(cli: Cli, file: Path, tmp_path: Path) -> None:
    assert "either a file or --message" in refused(cli, "user", "observe", "anna")
    assert "either" in refused(cli, "user", "observe", "anna", file, "--message", "x")
    assert "no file at" in refused(cli, "user", "observe", "anna", "none.jsonl")
    for words in (["list"], ["show", "anna"], ["consent", "anna", "--no"], ["forget", "anna"]):
        assert "no memory at" in refused(cli, "user", *words)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_mistakes_about_users_are_one_sentence(cli: Cli, memory: Memory, file: Path) -> None:
    for words in (["show", "nemo"], ["consent", "nemo", "--yes"], ["forget", "nemo", "--yes"]):
        assert "no user 'nemo'" in refused(cli, "user", *words)
    file.write_text('{"messages": []}')
    assert "Line 1: " in refused(cli, "user", "observe", "anna", file)
    assert "--session" in refused(cli, "user", "observe", "anna", "--message", "x", "--session", "")
    assert "no user 'nemo'" in refused(cli, "run", "be terse", "--user", "nemo")
    assert memory.users.all() == [] and memory.runs.all() == []


def test_forgetting_asks_first(cli: Cli, file: Path) -> None:
    cli("user", "observe", "anna", file)
    assert cli("user", "forget", "anna").exit_code == 1  # nobody answers
    assert len(told(cli, "user", "list")["users"]) == 1
    report = told(cli, "user", "forget", "anna", "--yes")
    assert (report["observations"], report["remains"]) == (2, [])
    assert told(cli, "user", "list")["users"] == []


@pytest.fixture
def for_anna(memory: Memory, talker: Student, few_probes: object) -> Run:
    """A run that met its goal for a user."""
    memory.users.add("anna")
    wanted = settings(goal="dream of zanzibar")
    return run_goal(talker, Scripted(), memory, wanted, user_id="anna")


def test_a_run_for_a_user_is_recalled_for_that_user_only(
    for_anna: Run, memory: Memory, talker: Student
) -> None:
    memory.users.add("bert")
    wanted = settings(goal="dream of zanzibar")
    for user_id, recalled in (("anna", for_anna.id), ("bert", None), (None, None)):
        run = run_goal(talker, Scripted(), memory, wanted, user_id=user_id)
        assert run.status == "accepted"
        assert (run.verdict or {}).get("recalled") == recalled, user_id


def test_forgetting_reaches_all_that_a_run_left(
    cli: Cli, for_anna: Run, memory: Memory, talker: Student, tmp_path: Path
) -> None:
    other = run_goal(talker, Scripted(), memory, settings(goal="sound grumpy"))
    vector = memory.get_vector((for_anna.verdict or {})["vector_id"])
    cli("user", "observe", "anna", "--message", "I dream of zanzibar.")
    for words in (
        ["report", for_anna.id],
        ["report", other.id],
        ["memory", "backup", "b.db"],
        ["vector", "export", vector.id, "v.safetensors"],
    ):
        assert cli(*words).exit_code == 0
    gone = ["zanzibar", "anna", for_anna.id, numbers(vector)]
    left = {trace.split(" in ")[1] for trace in traces(tmp_path, gone)}
    page = f"selfsteer-report-{for_anna.id}.html"
    assert {page, "b.db", "v.safetensors", f"selfsteer.db.events/{for_anna.id}.jsonl"} <= left
    result = cli("user", "forget", "anna", "--yes")
    assert result.exit_code == 0, result.stdout
    assert "anna is forgotten: 1 observations" in result.stdout
    memory.close()
    assert traces(tmp_path, gone) == []
    assert not (tmp_path / page).exists()
    assert cli("report", other.id).exit_code == 0
    for words in ([], ["--db", "b.db"]):
        assert cli("memory", "check", *words).exit_code == 0
        assert [row["run"] for row in told(cli, "runs", *words)["runs"]] == [other.id]


def test_what_could_not_be_reached_is_exit_code_1(cli: Cli, file: Path, tmp_path: Path) -> None:
    cli("user", "observe", "anna", file)
    cli("memory", "backup", "b.db")
    (tmp_path / "b.db").rename(tmp_path / "elsewhere.db")
    result = cli("user", "forget", "anna", "--yes")
    assert result.exit_code == 1
    assert "NOT REACHED: The backup" in result.stdout


@pytest.mark.parametrize("words", [[], ["--user", "anna"]], ids=["nobody", "anna"])
def test_the_option_of_run_is_handed_on(
    cli: Cli, memory: Memory, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    memory.users.add("anna")
    given: list[object] = []

    def note(*_: object, **more: object) -> None:
        given.append(more["user_id"])
        raise SelfsteerError("That is all.")

    monkeypatch.setattr(loop, "run_goal", note)
    assert "That is all" in refused(cli, "run", "be terse", *words)
    assert given == (words[1:] or [None])
