"""From prompts and replies to token ids, with a role and a special flag for every token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from selfsteer.errors import StudentError
from selfsteer.steering.chat import Rendered, Span, plain_text
from selfsteer.steering.lengths import beginning, fitting, newest
from selfsteer.steering.prompts import Example, Message, Prompt
from selfsteer.steering.spelling import Spelling

if TYPE_CHECKING:
    from selfsteer.steering.model import Student


@dataclass(frozen=True)
class Encoded:
    """Token ids of one row, without pads; every list is as long as `ids`.

    Attributes:
        ids: token ids; `ids[:prompt_length]` is the prompt, the rest the reply.
        prompt_length: number of prompt tokens.
        roles: `system`, `user`, `assistant` or `text` (raw prompt) for each token; a reply is
            always `assistant`, and scaffolding takes the role of the message that it leads to.
        special: True for the tokenizer's special tokens and for the template's scaffolding.
        given: how many tokens the student was given before it wrote on by itself; None where all
            behind the prompt counts as its own.
        spelling: how the tokenizer that made the row writes texts; needed to find texts in it.
    """

    ids: list[int]
    prompt_length: int
    roles: list[str]
    special: list[bool]
    given: int | None = None
    spelling: Spelling | None = field(default=None, repr=False, compare=False)


Item = Prompt | Example | Encoded


def encode(student: Student, item: Prompt | Example, *, close: bool = False) -> Encoded:
    """The tokens of a prompt, or of a prompt and its reply.

    Chat messages go through the chat template (up to where the student starts to speak) or,
    where the tokenizer has none, are joined by line breaks and continued.

    Args:
        close: also append what ends a reply: the template's turn end, or the end-of-text token.

    Raises:
        StudentError: when the prompt has no tokens or the template refuses the conversation.

    Warns:
        ChatWarning: once for each student, chat messages for one without a template.
    """
    (row,) = encode_all(student, [item], close=close)
    return row


def encode_all(student: Student, items: Sequence[Item], *, close: bool = False) -> list[Encoded]:
    """As :func:`encode`, for several items; a prompt that some of them share is encoded once.

    Rows that are encoded already stay as they are.
    """
    return list(encode_each(student, items, close=close))


def encode_each(
    student: Student, items: Sequence[Item], *, close: bool = False
) -> Iterator[Encoded]:
    """As :func:`encode_all`, one after the other; only prompts that come again are kept."""
    uses = Counter(_prompt(item) for item in items if not isinstance(item, Encoded))
    known: dict[Prompt, _Opening] = {}
    for item in items:
        if isinstance(item, Encoded):
            yield item
            continue
        prompt = _prompt(item)
        opening = known.pop(prompt, None) or _opening(student, prompt)
        uses[prompt] -= 1
        if uses[prompt]:
            known[prompt] = opening
        reply = item.completion if isinstance(item, Example) else ""
        yield _with_reply(student, opening, reply, close)


def _prompt(item: Prompt | Example) -> Prompt:
    return item.prompt if isinstance(item, Example) else item


class _Opening(NamedTuple):
    """A prompt as text, and its tokens; the first `start` of these stand before the text."""

    text: str
    ids: list[int]
    roles: list[str]
    special: list[bool]
    start: int


def _opening(student: Student, prompt: Prompt) -> _Opening:
    rendered, from_template = _render(student, prompt)
    ids, offsets = _tokenise(student, rendered.text)
    roles, scaffold = _label(rendered, offsets)
    # A template writes the start token itself; plain text gets it where the tokenizer would.
    start = [] if from_template else student.start_ids
    ids = start + ids
    if not ids:
        raise StudentError("A prompt has no tokens; give it some text.")
    special = [i in student.special_ids for i in ids]
    if from_template:
        special = [a or b for a, b in zip(special, scaffold, strict=True)]
    return _Opening(rendered.text, ids, roles[:1] * len(start) + roles, special, len(start))


def _with_reply(student: Student, opening: _Opening, completion: str, close: bool) -> Encoded:
    reply = _reply_ids(student, opening.text, completion, opening.ids[opening.start :])
    if close:
        reply += closing_ids(student)
    return Encoded(
        ids=opening.ids + reply,
        prompt_length=len(opening.ids),
        roles=opening.roles + ["assistant"] * len(reply),
        special=opening.special + [i in student.special_ids for i in reply],
        spelling=student.spelling,
    )


def encode_turn(student: Student, messages: Sequence[Message]) -> Encoded:
    """A conversation whose last message, a user's say, is what the student has to say next.

    The header that the template writes for that message ends the prompt, and what it writes behind
    the message is left out. Of a long message the beginning counts, and of what stands before it
    the newest that the context has room for: see `selfsteer.steering.lengths`.

    Raises:
        StudentError: the last message has no words, nothing stands before it (as for a student
            without a template or a start token), or the template refuses the conversation.
    """
    *before, last = messages
    last = last.model_copy(update={"content": beginning(student, last.content)})
    return fitting(student, newest(student, before), lambda kept: _turn_row(student, (*kept, last)))


def _turn_row(student: Student, messages: Sequence[Message]) -> Encoded:
    rendered, from_template = _render(student, Prompt(messages=tuple(messages)))
    ids, offsets = _tokenise(student, rendered.text)
    if not messages[-1].content.strip() or not rendered.spans:
        raise StudentError("The last message of a conversation has no words to predict.")
    said = rendered.spans[-1]
    inside = [i for i, (a, b) in enumerate(offsets) if b > said.start and a < said.stop]
    roles, scaffold = _label(rendered, offsets)
    start = [] if from_template else student.start_ids
    if not start and inside[0] == 0:
        raise StudentError(
            f"Nothing stands before the first message, and {student.name} has no start token; give "
            "it a message before."
        )
    first, end = inside[0], inside[-1] + 1
    special = [i in student.special_ids for i in ids]
    if from_template:
        special = [a or b for a, b in zip(special, scaffold, strict=True)]
    return Encoded(
        ids=start + ids[:end],
        prompt_length=len(start) + first,
        roles=roles[:1] * len(start) + roles[:first] + ["assistant"] * (end - first),
        special=[True] * len(start) + special[:end],
        spelling=student.spelling,
    )


def closing_ids(student: Student) -> list[int]:
    """Tokens that end a reply: the chat template's turn end, else the end-of-text token."""
    if student.chat is not None and (closing := student.chat.closing()):
        return _tokenise(student, closing)[0]
    eos = student.tokenizer.eos_token_id
    return [] if eos is None else [eos]


def _render(student: Student, prompt: Prompt) -> tuple[Rendered, bool]:
    if prompt.text is not None:
        return Rendered(prompt.text, (Span(0, len(prompt.text), "text"),)), False
    if student.chat is not None:
        return student.chat.render(prompt.messages), True
    student.warn_of_no_template()
    return plain_text(prompt.messages), False


def _tokenise(student: Student, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids and character offsets of a text as it stands, with no token added."""
    tokenizer = student.tokenizer
    if tokenizer.is_fast:
        out = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(out["input_ids"]), list(out["offset_mapping"])
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    # Python tokenizers report no offsets: each token is looked for where the last one ended.
    offsets: list[tuple[int, int]] = []
    cursor = 0
    for index in ids:
        piece = "" if index in student.special_ids else str(tokenizer.decode([index]))
        start = text.find(piece, cursor) if piece else -1
        stop = start + len(piece) if start >= 0 else cursor
        offsets.append((max(start, cursor), stop))
        cursor = stop
    return ids, offsets


def _label(rendered: Rendered, offsets: Sequence[tuple[int, int]]) -> tuple[list[str], list[bool]]:
    """Role and scaffold flag of each prompt token from the spans that its characters meet."""
    spans = rendered.spans
    roles: list[str] = []
    scaffold: list[bool] = []
    at = 0
    for start, stop in offsets:
        while at < len(spans) and start >= spans[at].stop:
            at += 1
        inside = at < len(spans) and stop > spans[at].start and stop > start
        roles.append(spans[at].role if at < len(spans) else _after(rendered))
        scaffold.append(not inside)
    return roles, scaffold


def _after(rendered: Rendered) -> str:
    """What follows the last message leads to the student's own turn."""
    last = rendered.spans[-1].role if rendered.spans else "text"
    return "text" if last == "text" else "assistant"


def _reply_ids(student: Student, prompt: str, completion: str, ids: list[int]) -> list[int]:
    """The reply's tokens as the student would read them after the prompt's own tokens.

    Tokenised together where that leaves the prompt's tokens as they are (so that tokenizers
    which mark word starts see the word start), otherwise on its own.
    """
    if not completion:
        return []
    joint, _ = _tokenise(student, prompt + completion)
    if joint[: len(ids)] == ids:
        return joint[len(ids) :]
    return _tokenise(student, completion)[0]
