"""From prompts and replies to tokens with roles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import ByT5Tokenizer

from selfsteer.errors import StudentError
from selfsteer.steering.chat import ChatWarning
from selfsteer.steering.encoding import closing_ids, encode, encode_turn
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Message, Prompt
from tests.steering.students import build_model, build_student

texts = st.text(st.characters(codec="utf-8", exclude_characters="<>|"), min_size=1, max_size=20)
TEXT_STUDENT = build_student("llama", template=None)
CHAT_STUDENT = build_student("llama")


def tokens(student: Student, item: Prompt | Example) -> list[tuple[str, str, bool]]:
    row = encode(student, item)
    assert len(row.ids) == len(row.roles) == len(row.special)
    names = student.tokenizer.convert_ids_to_tokens(row.ids)
    return list(zip(names, row.roles, row.special, strict=True))


def test_prompt_is_chat_or_text() -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        Prompt()
    with pytest.raises(ValidationError, match="exactly one"):
        Prompt(messages=(Message(role="user", content="a"),), text="b")


def test_with_system_replaces_the_system_message() -> None:
    prompt = Prompt.chat("hi", system="old").with_system("new")
    assert prompt == Prompt.chat("hi", system="new")
    assert Prompt.chat("hi").with_system("new") == prompt
    assert Prompt.raw("hi").with_system("new") == Prompt.raw("new\nhi")


def test_roles_and_scaffolding_of_a_chat(llama: Student) -> None:
    item = Example(prompt=Prompt.chat(" hi", system="é"), completion="ok")
    assert tokens(llama, item) == [
        ("<s>", "system", True),
        ("<|system|>", "system", True),
        ("Ã", "system", False),
        ("©", "system", False),
        ("<|end|>", "user", True),
        ("<|user|>", "user", True),
        ("h", "user", False),
        ("i", "user", False),
        ("<|end|>", "assistant", True),
        ("<|assistant|>", "assistant", True),
        ("o", "assistant", False),
        ("k", "assistant", False),
    ]
    assert encode(llama, item).prompt_length == 10


def test_a_row_knows_how_its_tokenizer_writes_texts(llama: Student) -> None:
    row = encode(llama, Example(prompt=Prompt.chat("hi"), completion="ok"))
    assert row.given is None
    assert row.spelling is llama.spelling
    assert llama.spelling.ways("ok") == (tuple(row.ids[row.prompt_length :]),)


def test_several_turns_with_equal_words(llama: Student) -> None:
    turns = [("user", "user"), ("assistant", "end"), ("user", "user")]
    prompt = Prompt(messages=tuple(Message(role=r, content=c) for r, c in turns))
    said = [(role, name) for name, role, special in tokens(llama, prompt) if not special]
    assert said == [(role, letter) for role, content in turns for letter in content]


def test_close_appends_the_turn_end(llama: Student, plain: Student) -> None:
    item = Example(prompt=Prompt.chat("hi"), completion="ok")
    for student, end in ((llama, 6), (plain, 2)):
        row = encode(student, item, close=True)
        assert row.ids == [*encode(student, item).ids, end]
        assert row.special[-1]
        assert closing_ids(student) == [end]


def test_without_a_template_messages_are_lines(plain: Student) -> None:
    found = tokens(plain, Prompt.chat("hi", system="s"))
    assert [t[0] for t in found] == ["<s>", "s", "Ċ", "h", "i"]
    assert [t[1] for t in found] == ["system", "system", "user", "user", "user"]
    assert [t[2] for t in found] == [True, False, False, False, False]


def test_raw_text_gets_no_template(llama: Student) -> None:
    assert tokens(llama, Prompt.raw("hi")) == [
        ("<s>", "text", True),
        ("h", "text", False),
        ("i", "text", False),
    ]


def test_empty_raw_text_is_the_start_token(llama: Student) -> None:
    assert encode(llama, Prompt.raw("")).ids == [1]


def test_no_tokens_at_all() -> None:
    student = Student.wrap(build_model("llama"), ByT5Tokenizer(), "bytes")
    with pytest.raises(StudentError, match="no tokens"):
        encode(student, Prompt.raw(""))


def test_template_that_refuses_system_messages() -> None:
    refusing = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
        "{% endif %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>"
    )
    student = build_student("llama", template=refusing)
    said = [
        (r, n) for n, r, special in tokens(student, Prompt.chat("u", system="s")) if not special
    ]
    assert said == [("system", "s"), ("user", "u")]
    alone = Prompt(messages=(Message(role="system", content="s"),))
    with pytest.raises(StudentError, match="refuses this conversation"):
        encode(student, alone)


def test_template_with_words_of_its_own() -> None:
    chatty = "You are you.{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    said = tokens(build_student("llama", template=chatty), Prompt.chat("you"))
    assert [special for *_, special in said] == [True] * 13 + [False] * 3


def test_tokenizer_without_offsets() -> None:
    student = Student.wrap(build_model("llama"), ByT5Tokenizer(), "bytes")
    assert not student.tokenizer.is_fast
    row = encode(student, Example(prompt=Prompt.chat("hi", system="s"), completion="ok"))
    assert row.roles == ["system", "user", "user", "user", "assistant", "assistant"]
    assert row.prompt_length == 4


@given(texts, texts)
def test_a_reply_leaves_the_prompts_tokens_alone(prompt: str, reply: str) -> None:
    for student, item in (
        (TEXT_STUDENT, Prompt.raw(prompt)),
        (CHAT_STUDENT, Prompt.chat(prompt)),
    ):
        alone = encode(student, item)
        both = encode(student, Example(prompt=item, completion=reply))
        assert both.ids[: both.prompt_length] == alone.ids
        assert student.tokenizer.decode(both.ids[both.prompt_length :]) == reply


@given(texts, texts)
def test_ordinary_tokens_of_a_chat_are_its_words(system: str, user: str) -> None:
    row = encode(CHAT_STUDENT, Prompt.chat(user, system=system))
    for role, content in (("system", system), ("user", user)):
        ids = [
            i
            for i, r, s in zip(row.ids, row.roles, row.special, strict=True)
            if r == role and not s
        ]
        assert CHAT_STUDENT.tokenizer.decode(ids) == content.strip()


def test_real_models_continue_words(real_student: Student) -> None:
    item = Example(prompt=Prompt.raw("Once upon a time"), completion=" there was")
    row = encode(real_student, item)
    whole = real_student.tokenizer("Once upon a time there was")["input_ids"]
    assert row.ids == whole


def test_a_turn_is_the_reply_and_its_header_ends_the_prompt(student: Student) -> None:
    before = [Message(role="user", content="ab"), Message(role="assistant", content="no")]
    turn = Message(role="user", content="yes it is")
    row = encode_turn(student, [*before, turn])
    whole = encode(student, Prompt(messages=(*before, turn)))
    assert row.ids == whole.ids[: len(row.ids)]
    said = student.tokenizer.decode(row.ids[row.prompt_length :])
    assert said.strip() == "yes it is"
    assert set(row.roles[row.prompt_length :]) == {"assistant"}
    assert row.roles[: row.prompt_length] == whole.roles[: row.prompt_length]
    assert len(row.roles) == len(row.special) == len(row.ids)


def test_equal_turns_are_told_apart_by_their_place(llama: Student) -> None:
    same = Message(role="user", content="ab")
    row = encode_turn(llama, [same, Message(role="assistant", content="ab"), same])
    whole = encode(llama, Prompt(messages=(same, Message(role="assistant", content="ab"), same)))
    assert row.prompt_length > len(whole.ids) // 2


def test_a_turn_without_words_or_without_anything_before_is_refused(
    llama: Student, plain: Student
) -> None:
    with pytest.raises(StudentError, match="no words"):
        encode_turn(llama, [Message(role="user", content=" ")])
    if not plain.start_ids:
        with pytest.raises(StudentError, match="no start token"), pytest.warns(ChatWarning):
            encode_turn(plain, [Message(role="user", content="ab")])
