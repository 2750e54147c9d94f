"""A raw history as a student sees it: the newest that fits, and no further than it remembers."""

from __future__ import annotations

import pytest

from selfsteer.agents.users.context import as_context, conversation
from selfsteer.steering.encoding import encode_turn
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.history import Choice, History, Rated
from tests.steering.students import build_student

LLAMA, MISTRAL = (build_student(family) for family in ("llama", "mistral"))


def user(words: str) -> Message:
    return Message(role="user", content=words)


def other(words: str) -> Message:
    return Message(role="assistant", content=words)


def written(*words: str) -> History:
    return History.of_sessions([[user(one)] for one in words])


SAID = [message for n in range(100) for message in (user(f"say {n}"), other(f"yes {n}"))]


def test_a_conversation_has_both_sides_of_all_sessions_once() -> None:
    first = [user("hi"), other("hello"), user("hi"), other("hello")]
    second = [user("hi"), other("again"), user("bye")]
    history = History.of_sessions([first, second])
    assert conversation(history) == (*first[:-1], *second)
    assert conversation(History()) == ()


def test_messages_without_words_of_the_user_stay_in_the_conversation() -> None:
    said = [Message(role="system", content="be"), user("a"), other("b"), other("c"), user("d")]
    assert conversation(History.of_sessions([said])) == tuple(said)


def test_sessions_that_go_on_at_once_are_told_once_each() -> None:
    one = [user("a1"), other("ra1"), user("a2")]
    two = [user("b1"), other("rb1"), user("b2")]
    a1, a2, b1, b2 = History.of_sessions([one, two]).turns
    history = History((a1, b1, a2, b2))
    assert conversation(history) == (one[0], two[0], *one[1:], *two[1:])
    assert conversation(History((b1, a2))) == (two[0], *one)


def longest(student: Student, context: tuple[Message, ...], judged: History) -> int:
    return max(len(encode_turn(student, [*context, user(t.words)]).ids) for t in judged.turns)


def test_the_newest_messages_fill_the_context_and_do_not_overflow_it() -> None:
    judged = written("x" * 40, "y")
    found = as_context(LLAMA, SAID, judged)
    assert LLAMA.reach is None
    kept = len(found.messages)
    assert 0 < kept < found.of == len(SAID)
    assert list(found.messages) == SAID[-kept:]
    rows = longest(LLAMA, found.messages, judged)
    assert rows <= LLAMA.context_length
    assert rows + 5 * len("say 99") > LLAMA.context_length  # room for a question at most
    assert found.messages[0].role == "user"
    assert found.tokens == rows - longest(LLAMA, (), judged)
    assert f"the newest {kept} of 200 messages; the student reads 256" in str(found)


def test_what_is_out_of_reach_is_left_out() -> None:
    judged = written("no")
    found = as_context(MISTRAL, SAID, judged)
    assert MISTRAL.reach == 46
    assert f"remembers {MISTRAL.reach}" in str(found)
    # The oldest question and its answer reach back as far as the student, the others do not.
    assert found.tokens >= MISTRAL.reach
    assert as_context(MISTRAL, SAID[-len(found.messages) - 1 :], judged).messages == found.messages
    assert found.messages[0].role == "user"
    words = sum(len(message.content) for message in found.messages[2:])
    assert words < MISTRAL.reach


def test_replies_that_judge_need_room_too() -> None:
    asked = (user("q" * 100),)
    fewer = [
        History(choices=(Choice(asked, "a" * 90, "b"),)),
        History(ratings=(Rated(asked, "a" * 90, 1.0),)),
    ]
    all_ = len(as_context(LLAMA, SAID, written("x")).messages)
    for judged in fewer:
        assert len(as_context(LLAMA, SAID, judged).messages) < all_ / 2


def test_a_message_that_does_not_fit_leaves_nothing() -> None:
    found = as_context(LLAMA, [user("x" * 300)], written("y"))
    assert found.messages == () and found.tokens == 0


@pytest.mark.parametrize("student", [LLAMA, MISTRAL])
def test_nothing_said_is_nothing_to_see(student: Student) -> None:
    assert as_context(student, [], written("y")).of == 0
