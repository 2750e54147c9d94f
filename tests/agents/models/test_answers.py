"""Finding the JSON in a model's words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.agents.models.answers import extract_json
from selfsteer.agents.models.errors import UnreadableReply

SCALARS = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
OBJECTS = st.dictionaries(st.text(), VALUES, min_size=1)


@given(VALUES)
def test_json_alone_is_itself(value: object) -> None:
    assert extract_json(json.dumps(value)) == value


@given(OBJECTS, st.booleans())
def test_an_object_is_found_in_prose_and_fences(value: dict[str, object], ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert extract_json(f"Sure, here it is: {text} I hope it helps.") == value
    assert extract_json(f"Sure:\n\n```json\n{text}\n```\nDone.") == value


@given(OBJECTS, st.data())
def test_no_beginning_of_an_object_is_taken_for_a_whole(
    value: dict[str, object], data: st.DataObject
) -> None:
    text = json.dumps(value)
    with pytest.raises(UnreadableReply):
        extract_json(text[: data.draw(st.integers(0, len(text) - 1))])


def test_a_cut_string_that_speaks_of_reasoning_is_not_taken_for_it() -> None:
    with pytest.raises(UnreadableReply):
        extract_json('{"why": "</think> [1]')


@pytest.mark.parametrize(
    "text",
    [
        '{"score": 1, "why": ["x",],}',
        '```\n{"score": 1, "why": ["x"]}\n```',
        'First:\n```json\n{"score": 1, "why": ["x",]}\n```\nas {"asked": "for"}.',
        'A score in [0, 1] for {reply} [see below]: {"score": 1, "why": ["x"]}',
        '{"score": 1, "why": ["x"]}\n\nOnce more: {"why": ["x"], "score": 1}',
        '<think>perhaps {"score": 0}?</think>\n{"score": 1, "why": ["x"]}',
        'perhaps {"score": 0}?</think>{"score": 1, "why": ["x"]}',
    ],
)
def test_what_can_be_read_in_one_way_is_read(text: str) -> None:
    assert extract_json(text) == {"score": 1, "why": ["x"]}


def test_commas_within_strings_stay() -> None:
    assert extract_json('{"a": "x,]", "b": "\\",}",}') == {"a": "x,]", "b": '",}'}


def test_a_list_is_found_where_there_is_no_object() -> None:
    assert extract_json("The verdicts: [0.5, 1]") == [0.5, 1]


def test_reasoning_tags_within_an_answer_stay() -> None:
    assert extract_json('{"a": "</think>"}') == {"a": "</think>"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no JSON"),
        ("I would rather not.", "holds no JSON"),
        ('It is {"score": 1} or {"score": 0}.', "2 different"),
        ('[{"score": 1}, {"sco', "broken"),
        ('{"score": yes, "inner": {"score": 1}}', "broken"),
        ('{"score": NaN}', "broken"),
        ("[" * 100_000, "broken|no JSON"),
    ],
)
def test_what_is_not_clear_is_refused(text: str, why: str) -> None:
    with pytest.raises(UnreadableReply, match=why):
        extract_json(text)


@pytest.mark.parametrize("text", [r'{"why": "\ud800"}', r'So: {"\udc00": ["x"]}.'])
def test_half_of_a_surrogate_pair_is_no_answer(text: str) -> None:
    with pytest.raises(UnreadableReply, match="surrogate"):
        extract_json(text)
    assert extract_json(r'{"why": "\ud83d\ude00"}') == {"why": "\U0001f600"}
