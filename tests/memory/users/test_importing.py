"""Conversations and feedback from JSON lines: all of a file or nothing, and twice is as once."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selfsteer.errors import UserError
from selfsteer.memory import Memory
from selfsteer.memory.records import to_json
from selfsteer.memory.users import Message
from selfsteer.memory.users import lines as module
from selfsteer.memory.users.importing import Imported, export_lines, import_file

HELLO = {"role": "user", "content": "Hello."}
HI = {"role": "assistant", "content": "Hi."}
MORE = {"role": "user", "content": "How are you?"}
PROMPT = [HELLO]
RATING = {"rating": {"prompt": PROMPT, "reply": "Hi.", "rating": 4}}
FEEDBACK: list[dict[str, Any]] = [
    {"preference": {"prompt": PROMPT, "chosen": "Hi.", "rejected": "Yo."}},
    RATING,
    {"edit": {"prompt": "Hello.", "before": "Hi.", "after": "Good day."}},
    {"acceptance": {"prompt": PROMPT, "reply": "Hi.", "accepted": False}},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lines.jsonl"


def take(memory: Memory, file: Path, *lines: Any, **more: Any) -> Imported:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(texts), encoding="utf-8")
    return import_file(memory.users, file, **{"user_id": "anna", **more})


def told(memory: Memory, user_id: str = "anna") -> list[str]:
    observed = (kept.observation for kept in memory.users.observations(user_id))
    return [one.content for one in observed if isinstance(one, Message)]


def talk(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def test_conversations_and_feedback_are_read(memory: Memory, file: Path) -> None:
    report = take(memory, file, talk(HELLO, HI, session="a"), *FEEDBACK, "", "  ")
    assert report == Imported(lines=5, added=6, skipped=0, extended=0, users=("anna",))
    assert memory.users.get("anna").counts == {
        **{"message": 2, "preference": 1, "rating": 1, "edit": 1, "acceptance": 1}
    }
    first = memory.users.observations("anna")[0].observation
    assert (first.session, first.order, first.source, first.scope) == ("a", 0, "import", "private")


def test_the_same_file_twice_is_as_once(memory: Memory, file: Path) -> None:
    lines = [talk(HELLO, HI), talk(HELLO, session="s"), *FEEDBACK, {**RATING, "session": "s"}]
    first = take(memory, file, *lines)
    before = memory.users.observations("anna")
    again = take(memory, file, *reversed(lines))
    assert (first.added, again.added, again.skipped) == (8, 0, 7)
    assert memory.users.observations("anna") == before


def test_a_conversation_goes_on(memory: Memory, file: Path) -> None:
    take(memory, file, talk(HELLO, session="s"))
    report = take(memory, file, talk(HELLO, HI, MORE, session="s"), talk(HELLO, HI, id="s"))
    assert (report.added, report.extended, report.skipped) == (2, 1, 1)
    assert told(memory) == ["Hello.", "Hi.", "How are you?"]


@pytest.mark.parametrize("other", [talk(HELLO, MORE), talk(HI, HELLO), talk(HI)], ids=str)
def test_one_that_contradicts_is_refused_with_all_of_the_file(
    memory: Memory, file: Path, other: dict[str, Any]
) -> None:
    take(memory, file, talk(HELLO, HI, session="s"))
    with pytest.raises(UserError, match=r"^Line 2: Session 's' of user 'anna' has another"):
        take(memory, file, talk(MORE, session="new"), {**other, "session": "s"})
    assert told(memory) == ["Hello.", "Hi."]


def test_feedback_in_a_session_takes_the_next_place(memory: Memory, file: Path) -> None:
    better = {"rating": {"prompt": PROMPT, "reply": "Hi.", "rating": 5}, "session": "s"}
    take(memory, file, talk(HELLO, HI, session="s"), {**RATING, "session": "s"}, better)
    take(memory, file, better, {**RATING, "session": "s"})
    orders = [kept.observation.order for kept in memory.users.observations("anna", ["rating"])]
    assert orders == [2, 3]
    take(memory, file, {**RATING, "session": "s", "order": 9})
    with pytest.raises(UserError, match="has another rating"):
        take(memory, file, {**better, "order": 9})


def log(*pairs: str) -> list[dict[str, str]]:
    """What a user and an assistant say in turn."""
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(pairs)]


def test_a_conversation_without_a_name_goes_on(memory: Memory, file: Path) -> None:
    """As in the log of a server, where each line repeats the ones before and adds to them."""
    long = log("Hello.", "Hi.", "Who are you?", "A model.", "I see.")
    assert take(memory, file, talk(*long[:2])).added == 2
    report = take(memory, file, talk(*long[:3]), talk(*long), talk(*long[:1]))
    assert (report.added, report.extended, report.skipped) == (3, 2, 1)
    assert told(memory) == [turn["content"] for turn in long]
    assert len({kept.observation.session for kept in memory.users.observations("anna")}) == 1
    assert take(memory, file, talk(*long[:4]), talk(*long)).added == 0


def test_conversations_that_part_are_two(memory: Memory, file: Path) -> None:
    one, other = log("Hello.", "Hi.", "Bye."), log("Hello.", "Hi.", "Wait!")
    take(memory, file, talk(*one[:2]), talk(*one), talk(*other))
    assert told(memory) == ["Hello.", "Hi.", "Bye.", "Hello.", "Hi.", "Wait!"]
    assert take(memory, file, talk(*other, MORE), talk(*one), talk(*one[:1])).added == 1


def test_a_session_that_somebody_named_is_its_own(memory: Memory, file: Path) -> None:
    take(memory, file, talk(HELLO, session="s"))
    take(memory, file, talk(HELLO, HI, MORE))
    take(memory, file, talk(HELLO, HI, HI, session="s"))
    assert len(told(memory)) == 6


def test_a_conversation_that_was_named_by_the_whole_of_its_line_is_found(
    memory: Memory, file: Path
) -> None:
    """Names come from what is read; before, all that stood in the line counted."""
    parts = {"role": "user", "content": [{"type": "text", "text": "Hello."}]}
    raw = hashlib.sha256(to_json([parts]).encode()).hexdigest()[:32]
    take(memory, file, talk(parts, session=raw))
    assert take(memory, file, talk(parts)).added == 0


def test_calls_of_tools_are_left_out_and_counted(memory: Memory, file: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "time", "arguments": "{}"}}
    said = [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "noon"},
        {"role": "assistant", "tool_calls": [call], "content": "One moment."},
        {"role": "function", "name": "time", "content": None},
        {"role": "assistant", "content": None, "function_call": {"name": "time"}},
        {"role": "assistant", "content": "Noon."},
        {"role": "assistant", "content": None, "refusal": "I will not say more."},
    ]
    report = take(memory, file, talk(*said), talk(said[2]))
    assert (report.added, report.left_out, report.skipped) == (4, 5, 1)
    kept = [one.observation for one in memory.users.observations("anna")]
    assert [one.order for one in kept] == [0, 1, 2, 3]
    assert told(memory) == ["What time is it?", "One moment.", "Noon.", "I will not say more."]


def test_lines_say_whose_they_are(memory: Memory, file: Path) -> None:
    lines = [talk(HELLO, user="anna"), talk(HELLO, user="bert", scope="shared"), talk(MORE)]
    with pytest.raises(UserError, match="Line 2: it is about user 'bert', not 'anna'"):
        take(memory, file, *lines)
    with pytest.raises(UserError, match="Line 3: it does not say whose it is"):
        take(memory, file, *lines, user_id=None)
    assert memory.users.all() == []
    assert take(memory, file, *lines[:2], user_id=None).users == ("anna", "bert")
    assert memory.users.observations("bert")[0].observation.scope == "shared"
    assert not memory.users.get("bert").consents


def test_parts_and_newer_roles_are_read(memory: Memory, file: Path) -> None:
    parts = [{"type": "text", "text": "Good "}, {"type": "text", "text": "day."}]
    take(
        memory,
        file,
        talk(
            {"role": "developer", "content": "Be nice.", "name": "x"},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": ""},
        ),
    )
    [first, second, third] = [kept.observation for kept in memory.users.observations("anna")]
    assert isinstance(first, Message) and first.role == "system"
    assert told(memory) == ["Be nice.", "Good day.", ""]
    assert third.order == 2 and second.kind == "message"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"a": NaN}', "NaN is no number|not JSON"),
        ("1" * 10_000, "not JSON"),
        ({}, "one of messages"),
        ({**talk(HELLO), **RATING}, "one of messages"),
        (talk(), "not empty"),
        ({"messages": "Hello."}, "not empty"),
        (talk("Hello."), "not a JSON object"),
        (talk({"role": "oracle", "content": "x"}), "the role 'oracle'"),
        (talk({"role": ["user"], "content": "x"}), "has the role"),
        (talk({"role": "assistant", "content": None}), "is no text"),
        (talk({"role": "user", "content": [{"type": "image_url"}]}), "only text is read"),
        (talk({"role": "user", "content": "\ud800"}), "Unicode|cannot be stored"),
        (talk({"role": "user", "content": "\ud800"}, session="s"), "Unicode"),
        (talk(HELLO, session=7), "session: "),
        (talk(HELLO, session=""), "session: "),
        (talk(HELLO, scope="public"), "scope: "),
        (talk(HELLO, user=7), "whose it is"),
        (talk(HELLO, session="s", order="1"), "order: "),
        (talk(HELLO, session="s", order=True), "order: "),
        (talk(HELLO, session="s", order=-1), "order: "),
        (talk(HELLO, HI, session="s", order=2**53 - 1), "order: "),
        ({"rating": 4}, "not a JSON object"),
        ({"rating": {"prompt": PROMPT, "reply": "Hi.", "rating": "4"}}, "rating: "),
        ('{"rating": {"prompt": "x", "reply": "", "rating": 1e999}, "session": "s"}', "rating: "),
        ({"rating": {"reply": "Hi.", "rating": 4}}, "not empty"),
        ({"edit": {"prompt": "x", "before": "a"}}, "after: "),
        ({**RATING, "order": -1}, "order: "),
        ({**RATING, "order": 10**40}, "order: "),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_line_that_cannot_be_taken_is_named(
    memory: Memory, file: Path, line: Any, what: str
) -> None:
    with pytest.raises(UserError, match=what) as caught:
        take(memory, file, talk(HELLO), line)
    sentence = str(caught.value)
    assert sentence.startswith("Line 2: ") and sentence.endswith(".") and "\n" not in sentence
    assert len(sentence) < 400
    assert memory.users.all() == []


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252"])
def test_another_encoding_is_named(memory: Memory, file: Path, encoding: str) -> None:
    text = json.dumps(talk({"role": "user", "content": "Grüß Gott."}), ensure_ascii=False)
    file.write_bytes(text.encode(encoding))
    with pytest.raises(UserError, match=r"^Line 1: byte \d+ is not UTF-8; convert"):
        import_file(memory.users, file, user_id="anna")
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert import_file(memory.users, file, user_id="anna").added == 1


def test_long_messages_and_long_lines(
    memory: Memory, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {"role": "user", "content": "word " * 200_000}
    assert take(memory, file, talk(long)).added == 1
    with pytest.raises(UserError, match="Line 1: content: one text may have 4194304 bytes"):
        take(memory, file, talk({"role": "user", "content": "x" * 5_000_000}))
    monkeypatch.setattr(module, "MOST_LINE", 1000)
    with pytest.raises(UserError, match="Line 2: it is longer than 1000 bytes"):
        take(memory, file, talk(HELLO), talk(long))


def test_users_who_say_next_to_nothing(memory: Memory, file: Path) -> None:
    assert take(memory, file) == Imported(lines=0, added=0, skipped=0, extended=0, users=())
    take(
        memory, file, talk({"role": "user", "content": ""}), talk({"role": "user", "content": "k"})
    )
    assert told(memory) == ["", "k"]


def test_a_file_that_is_not_there(memory: Memory, file: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        import_file(memory.users, file, user_id="anna")


def test_what_is_exported_is_read_back(memory: Memory, file: Path) -> None:
    placed = [{**line, "session": "s", "order": 7} for line in FEEDBACK]
    take(
        memory, file, talk(HELLO, HI, session="s"), talk(MORE, session="t", scope="shared"), *placed
    )
    lines = list(export_lines(memory.users.observations("anna")))
    take(memory, file, *lines, user_id="bert")

    def observed(user_id: str) -> list[object]:
        return [kept.observation for kept in memory.users.observations(user_id)]

    assert observed("bert") == observed("anna")


def test_sessions_of_two_scopes_and_with_gaps_are_read_back_as_they_came(
    memory: Memory, file: Path
) -> None:
    take(memory, file, talk(HELLO, session="s"), talk(HI, session="t", order=4))
    take(memory, file, talk(MORE, HI, session="s", order=1, scope="shared"))
    take(memory, file, {**RATING, "session": "u"}, talk(HELLO, session="s", order=7))
    take(memory, file, {**RATING, "session": "s", "order": 2}, talk(HI, session="s", order=3))
    before = [kept.observation for kept in memory.users.observations("anna")]
    assert len(before) == 8
    lines = list(export_lines(memory.users.observations("anna")))
    assert take(memory, file, *lines).added == 0
    take(memory, file, *lines, user_id="bert")
    assert [kept.observation for kept in memory.users.observations("bert")] == before


def test_a_line_says_where_its_messages_begin(memory: Memory, file: Path) -> None:
    take(memory, file, talk(HELLO, HI, session="s"), talk(MORE, session="s", order=2))
    assert told(memory) == ["Hello.", "Hi.", "How are you?"]
    with pytest.raises(UserError, match="has another message"):
        take(memory, file, talk(HI, session="s", order=2))


def test_a_conversation_without_a_name_has_no_other_place(memory: Memory, file: Path) -> None:
    """A log may number its lines; without a session that is no place."""
    take(memory, file, talk(HELLO, order="first"), talk(HELLO, HI, order=5))
    assert [kept.observation.order for kept in memory.users.observations("anna")] == [0, 1]


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Memory]:
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m.db") as memory:
        (Path(folder) / "known").write_text(json.dumps(talk(HELLO, HI, session="s")))
        import_file(memory.users, Path(folder) / "known", user_id="anna")
        yield memory


def state(memory: Memory) -> list[int]:
    return [
        memory.connection.query(f"SELECT count(*) AS n FROM {table}")[0]["n"]
        for table in ("users", "observations")
    ]


NAMES = "messages user session id scope rating edit prompt reply role content type text order"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["user", "assistant", "anna", "s", "shared", "Hello."]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()) | st.text(max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)
LINE = st.one_of(
    JSON.map(json.dumps),
    st.builds(
        lambda messages, more: json.dumps({**more, "messages": messages}),
        st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "assistant", "x"]), "content": JSON}
            ),
            max_size=3,
        ),
        st.dictionaries(st.sampled_from(["user", "session", "scope", "order"]), JSON, max_size=3),
    ),
    st.text(max_size=12),
).map(lambda text: text.encode("utf-8", "surrogatepass"))


@settings(max_examples=200, deadline=None)
@given(lines=st.lists(LINE | st.binary(max_size=12), max_size=4))
@example(lines=[json.dumps(talk(MORE, session="s")).encode(), b"{}"])
@example(lines=[json.dumps(talk(MORE)).encode(), b'{"user": "\\ud800", "messages": []}'])
def test_whatever_a_file_holds_it_is_taken_whole_or_not_at_all(
    fuzzed: Memory, lines: list[bytes]
) -> None:
    file = fuzzed.path.with_name("lines")
    file.write_bytes(b"\n".join(lines))
    before = state(fuzzed)
    try:
        report = import_file(fuzzed.users, file, user_id="anna")
    except UserError as error:
        assert state(fuzzed) == before
        assert "\n" not in str(error)
    else:
        assert state(fuzzed) == [before[0], before[1] + report.added]
        assert import_file(fuzzed.users, file, user_id="anna").added == 0
