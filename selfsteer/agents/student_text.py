"""Text that a student wrote, made ready to be put to a student again.

A fence would change the form that small models were trained on, so the text is kept to its field by
having neither of the two things that could end it: a line break, and a mark of the chat template.
"""

from __future__ import annotations

import re

from selfsteer.steering.model import Student

# What `str.splitlines` takes for the end of a line.
_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def on_one_line(student: Student, text: str) -> str:
    """The text with its line breaks as spaces; text without any is left exactly as it is.

    What reads like a special token of the student would become one when it is read again, so a
    space is put into it.
    """
    line = _BREAK.sub(" ", text)
    for mark in student.tokenizer.convert_ids_to_tokens(sorted(student.special_ids)):
        if mark and mark.strip():
            line = line.replace(mark, f"{mark[0]} {mark[1:]}" if len(mark) > 1 else " ")
    return line
