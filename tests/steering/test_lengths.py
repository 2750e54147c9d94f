"""Texts that are longer than a student can take."""

from __future__ import annotations

import pytest

from selfsteer.steering import encoding
from selfsteer.steering.encoding import encode, encode_turn
from selfsteer.steering.lengths import is_cut, most_tokens
from selfsteer.steering.prompts import Example, Message, Prompt
from selfsteer.steering.users.history import Choice, History, Rated, Turn
from selfsteer.steering.users.replies import cut_texts, reply_row
from tests.steering.students import build_student

CONTEXT = 40
STUDENT = build_student("llama", max_position_embeddings=CONTEXT)
LONG = "yes it is " * 100


def user(text: str) -> Message:
    return Message(role="user", content=text)


def test_of_a_long_message_the_beginning_is_predicted() -> None:
    row = encode_turn(STUDENT, [user(LONG)])
    assert len(row.ids) - row.prompt_length == most_tokens(STUDENT) == CONTEXT // 2
    words = STUDENT.tokenizer.decode(row.ids[row.prompt_length :]).strip()
    assert words and LONG.startswith(words)
    assert len(row.ids) == len(row.roles) == len(row.special)


def test_of_what_stands_before_the_end_is_kept_and_what_is_predicted_stays_the_same() -> None:
    said = user("no it is")
    alone = encode_turn(STUDENT, [said])
    row = encode_turn(STUDENT, [user(LONG), Message(role="assistant", content="ab"), said])
    assert len(row.ids) == CONTEXT
    assert row.ids[row.prompt_length :] == alone.ids[alone.prompt_length :]
    assert row.roles[row.prompt_length - 2 : row.prompt_length] == ["user"] * 2
    words = STUDENT.tokenizer.decode(row.ids[: row.prompt_length])
    assert "ab" in words and "yes" in words


def test_the_token_that_begins_every_text_stays() -> None:
    before = [user(LONG), Message(role="assistant", content="ab")]
    first = encode_turn(STUDENT, [user("ab")]).ids[0]
    row = encode_turn(STUDENT, [*before, user("no")])
    assert (row.ids[0] == first) == (first in STUDENT.special_ids)


def test_a_row_that_fits_is_left_as_it_is() -> None:
    asked = (user("ab"),)
    row = reply_row(STUDENT, asked, "yes it is")
    assert row == encode(STUDENT, Example(prompt=Prompt(messages=asked), completion="yes it is"))


def test_replies_are_cut_at_the_end_and_their_prompts_at_the_beginning() -> None:
    row = reply_row(STUDENT, [user(LONG), user("no")], LONG)
    assert len(row.ids) == CONTEXT
    assert len(row.ids) - row.prompt_length == CONTEXT // 2
    assert "no" in STUDENT.tokenizer.decode(row.ids[: row.prompt_length])


def test_a_megabyte_is_not_even_tokenised(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    whole = encoding._tokenise

    def counted(student: object, text: str) -> object:
        seen.append(len(text))
        return whole(student, text)  # type: ignore[arg-type]

    monkeypatch.setattr(encoding, "_tokenise", counted)
    huge = "\n" * 100_000 + LONG * 1000
    assert encode_turn(STUDENT, [user(huge), user(huge)]).ids
    assert reply_row(STUDENT, [user(huge)], huge).ids
    assert max(seen) < 2000


def test_what_is_cut_is_counted() -> None:
    asked = (user("ab"),)
    known = History(
        (Turn(LONG), Turn("yes")),
        (Choice(asked, LONG, "no"), Choice(asked, "yes", "no")),
        (Rated(asked, LONG, 1.0),),
    )
    assert cut_texts(STUDENT, known) == 3


def test_a_text_counts_as_cut_exactly_where_words_of_it_are_missing() -> None:
    for count in range(1, CONTEXT):
        text = " ".join(["yes"] * count)
        row = encode_turn(STUDENT, [user(text)])
        words = STUDENT.tokenizer.decode(row.ids[row.prompt_length :]).strip()
        assert is_cut(STUDENT, text) == (words != text)
