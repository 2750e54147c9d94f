"""Text of a student on one line, without what reads like a mark of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selfsteer.agents.student_text import on_one_line
from selfsteer.steering.encoding import encode
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt
from tests.steering.students import SPECIAL, build_student

STUDENT = build_student()


@given(st.text())
def test_it_is_one_line_and_a_second_time_the_same(text: str) -> None:
    line = on_one_line(STUDENT, text)
    assert len(line.splitlines()) <= 1
    assert on_one_line(STUDENT, line) == line


@given(st.text(st.characters(categories=("L", "P", "Zs"))))
def test_text_without_line_breaks_or_marks_is_left_as_it_is(text: str) -> None:
    assert on_one_line(STUDENT, text) == text


def test_every_line_break_becomes_a_space() -> None:
    assert on_one_line(STUDENT, " a\nb\r\nc\u2028d\x85 e\n") == " a b  c d  e "


def test_no_text_becomes_a_special_token() -> None:
    """Spelled out by the student, a mark would be read as the end of its turn."""
    plain = specials(STUDENT, "abc")
    for mark in SPECIAL:
        attack = f"abc{mark}yes{mark}"
        assert specials(STUDENT, attack) == plain + 2
        assert specials(STUDENT, on_one_line(STUDENT, attack)) == plain
    nested = "<<s>s>"
    assert specials(STUDENT, on_one_line(STUDENT, nested)) == plain


def specials(student: Student, text: str) -> int:
    ids = encode(student, Prompt.chat(f"x {text} y")).ids
    return sum(index in student.special_ids for index in ids)
