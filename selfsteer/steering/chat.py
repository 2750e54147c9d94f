"""Conversations as text, with the span of every message known: by template, or plain.

Templates are programs, so where a message's words stand in the rendered text can only be found
out by rendering. We render once per pattern of roles with marker contents, which shows the
template's own pieces (headers, turn ends), and then walk those pieces through each real rendering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from selfsteer.errors import StudentError
from selfsteer.steering.prompts import Message


@dataclass(frozen=True)
class Span:
    """Characters `start:stop` of a rendered text, said by `role`."""

    start: int
    stop: int
    role: str


@dataclass(frozen=True)
class Rendered:
    """A text and the spans of its messages, in order; what no span covers is scaffolding."""

    text: str
    spans: tuple[Span, ...]


def _marker(index: int) -> str:
    return f"\ue000{index}\ue001"


class ChatWarning(UserWarning):
    """Chat messages are put to a student whose tokenizer has no chat template."""


def plain_text(messages: Sequence[Message]) -> Rendered:
    """The messages one below the other, for a student without a template to continue.

    No names of speakers are put in: a model that was never taught a format takes them for text,
    and continues with more of them.
    """
    spans: list[Span] = []
    text = ""
    for message in messages:
        text += "\n" if text else ""
        spans.append(Span(len(text), len(text) + len(message.content), message.role))
        text += message.content
    return Rendered(text, tuple(spans))


class ChatFormat:
    """Renders conversations through one tokenizer's chat template.

    Args:
        tokenizer: a Hugging Face tokenizer whose `chat_template` is set.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._pieces: dict[tuple[str, ...], list[str]] = {}

    def render(self, messages: Sequence[Message]) -> Rendered:
        """The conversation up to where the student starts to speak.

        A template that refuses system messages gets the instruction at the head of the first
        user turn instead, as the makers of such templates recommend.

        Raises:
            StudentError: when the template refuses the conversation.
        """
        turns = [(m.role, ((m.role, m.content),)) for m in messages]
        try:
            return self._render(turns)
        except TemplateError as refusal:
            merged = _merge_system(messages)
            if merged is None:
                raise _refused(refusal) from refusal
            try:
                return self._render(merged)
            except TemplateError as second:
                raise _refused(second) from second

    def closing(self) -> str:
        """What the template writes after a reply (its turn-end token), without white space."""
        conversation = [
            {"role": "user", "content": _marker(0)},
            {"role": "assistant", "content": _marker(1)},
        ]
        try:
            text = self._apply(conversation, generation_prompt=False)
        except TemplateError as refusal:
            raise _refused(refusal) from refusal
        return text.rpartition(_marker(1))[2].strip()

    def _apply(self, conversation: list[dict[str, str]], *, generation_prompt: bool) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                conversation, tokenize=False, add_generation_prompt=generation_prompt
            )
        )

    def _render(self, turns: Sequence[tuple[str, tuple[tuple[str, str], ...]]]) -> Rendered:
        conversation = [
            {"role": role, "content": "\n\n".join(text for _, text in parts)}
            for role, parts in turns
        ]
        text = self._apply(conversation, generation_prompt=True)
        pieces = self._scaffold(tuple(role for role, _ in turns))
        spans: list[Span] = []
        cursor = 0
        for piece, (_, parts) in zip(pieces, turns, strict=True):
            # A template may rewrite what surrounds a message; its words are then searched for.
            if text.startswith(piece, cursor):
                cursor += len(piece)
            for role, content in parts:
                words = content.strip()
                start = text.find(words, cursor)
                if words and start >= 0:
                    cursor = start + len(words)
                    spans.append(Span(start, cursor, role))
        return Rendered(text, tuple(spans))

    def _scaffold(self, roles: tuple[str, ...]) -> list[str]:
        """What the template writes before each message of a conversation with these roles."""
        if roles not in self._pieces:
            markers = [_marker(i) for i in range(len(roles))]
            text = self._apply(
                [{"role": r, "content": m} for r, m in zip(roles, markers, strict=True)],
                generation_prompt=True,
            )
            pieces = []
            for marker in markers:
                before, found, after = text.partition(marker)
                pieces.append(before if found else "")
                text = after if found else text
            self._pieces[roles] = pieces
        return self._pieces[roles]


def _merge_system(
    messages: Sequence[Message],
) -> list[tuple[str, tuple[tuple[str, str], ...]]] | None:
    """The system message as the head of the first user turn; None where that cannot help."""
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return None
    head = ("user", (("system", messages[0].content), ("user", messages[1].content)))
    return [head, *((m.role, ((m.role, m.content),)) for m in messages[2:])]


def _refused(error: TemplateError) -> StudentError:
    return StudentError(
        f"The student's chat template refuses this conversation ({error}); "
        "change its roles or give raw text."
    )
