"""One meaning of a selector: rows read at once, and replies written token by token, in batches
that are padded, reordered, multiplied and thinned out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import SelectorError
from selfsteer.steering.batching import Side
from selfsteer.steering.editing.masks import MaskTable
from selfsteer.steering.editing.said import Said
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs, option_logprobs
from selfsteer.steering.selectors import Mask, Selector, parse
from tests.steering.rows import SPELLING, row, selectors
from tests.steering.students import build_vector, grown, reference_logits

prompts = st.text("sutSUTx", min_size=1, max_size=7)
steering_selectors = selectors.filter(lambda selector: not selector.needs_end)
LETTERS = "aaxxxAT"  # of a reply; capitals are special tokens


def extended(known: Encoded, reply: str) -> Encoded:
    """The row with a reply that the student wrote itself."""
    more = row("a", reply)
    return replace(
        known,
        ids=known.ids + more.ids[1:],
        roles=known.roles + ["assistant"] * len(reply),
        special=known.special + more.special[1:],
        given=len(known.ids) if known.given is None else known.given,
    )


@dataclass
class Line:
    """A row of a running batch: which one, its reply so far, and how it was masked."""

    number: int
    reply: str
    masked: list[bool]


def written(
    random: Random, table: MaskTable, rows: list[Encoded], side: Side, steps: int
) -> list[Line]:
    """Lines of a batch after a prefill and some steps, before each of which lines change places,
    are doubled (as beams are) and dropped."""
    chosen = np.array(random.choices(range(len(rows)), k=5))
    width = max(len(r.ids) for r in rows) + 1
    lines = []
    for i, mask in zip(chosen, table.over_rows(chosen, side, width), strict=True):
        length = len(rows[i].ids)
        cut = slice(width - length, None) if side == "left" else slice(length)
        assert mask.sum() == mask[cut].sum()  # pads never match
        lines.append(Line(int(i), "", mask[cut].tolist()))
    said = Said.nothing(len(lines))
    for _ in range(steps):
        kept = np.array(random.choices(range(len(lines)), k=random.randint(2, 5)))
        lines = [replace(lines[k], masked=list(lines[k].masked)) for k in kept]
        chosen, said, tokens = chosen[kept], said[kept], random.choice([1, 1, 3])
        told = ["".join(random.choices(LETTERS, k=tokens)) for _ in lines]
        coming = [row("a", text) for text in told]
        ids = np.array([c.ids[1:] for c in coming])
        special = np.array([c.special[1:] for c in coming])
        masks = table.over_reply(chosen, said, ids, special)
        said = said.then(ids, special, table.memory)
        for line, text, mask in zip(lines, told, masks, strict=True):
            line.reply += text
            line.masked += mask.tolist()
    return lines


@pytest.mark.parametrize("side", ["left", "right"])
@given(st.lists(steering_selectors, min_size=4, max_size=4), st.integers(0, 10**6))
def test_the_same_tokens_whether_read_or_written(
    side: Side, chosen: list[Selector], seed: int
) -> None:
    """Prefill and decoding in batches mask what the finished row's mask, taken at once, says."""
    random = Random(seed)
    rows = [
        row("".join(random.choices("sutSUaaxx", k=k)), "".join(random.choices(LETTERS, k=k % 3)))
        for k in random.sample(range(1, 9), 5)
    ]
    texts = [*map(str, chosen), None]
    table = MaskTable(rows, texts, reply_tokens=15)
    for line in written(random, table, rows, side, steps=5):
        full = extended(rows[line.number], line.reply)
        if line.number < len(chosen):
            assert line.masked == chosen[line.number].mask(full).tolist()
            assert table.touches(line.number) >= any(line.masked)


@given(steering_selectors, prompts, st.text(LETTERS, max_size=8), st.text(LETTERS, max_size=3))
def test_what_comes_later_changes_nothing_before(
    selector: Selector, prompt: str, reply: str, more: str
) -> None:
    known = row(prompt)
    shorter, longer = extended(known, reply), extended(known, reply + more)
    mask = selector.mask(shorter)
    assert (selector.mask(longer)[: len(mask)] == mask).all()


@given(steering_selectors, prompts, st.text(LETTERS, max_size=8))
def test_what_may_match_covers_what_does(selector: Selector, prompt: str, reply: str) -> None:
    known = row(prompt)
    full = extended(known, reply)
    special = np.array(full.special[len(prompt) :], dtype=bool)
    plain, marks = selector.reply_masks(known, 8)
    may = np.where(special, marks, plain[np.maximum(np.cumsum(~special) - 1, 0)])
    assert not (selector.mask(full)[len(prompt) :] & ~may).any()


@given(selectors.filter(lambda selector: selector.needs_end), prompts)
def test_the_end_of_a_reply_is_not_known_while_it_grows(selector: Selector, prompt: str) -> None:
    with pytest.raises(SelectorError, match="counts from the end of a reply"):
        MaskTable([row(prompt)], [str(selector)], reply_tokens=3)
    table = MaskTable([row(prompt)], [str(selector)], reply_tokens=0)
    assert (table.known[0] == selector.mask(row(prompt))).all()


def reply_mask(selector: str, known: Encoded, reply: str) -> str:
    """`+` where a token of the reply, written one by one, is selected."""
    table = MaskTable([known], [selector], reply_tokens=len(reply))
    said, marks = Said.nothing(1), ""
    for letter in reply:
        coming = row("a", letter)
        ids, special = np.array([coming.ids[1:]]), np.array([coming.special[1:]])
        marks += "+" if table.over_reply(np.array([0]), said, ids, special)[0, 0] else "."
        said = said.then(ids, special, table.memory)
    return marks


@pytest.mark.parametrize(
    ("selector", "marks"),
    [
        ("all", "++.++."),
        ("response[1:3]", "+....."),  # the opening "xx" is the response's beginning
        ("response[2:4]", "++...."),
        ("generated[1:3]", ".+.+.."),
        ("generated + special", "++++++"),
        ("position[6:8]", "..++.."),
        ("assistant[turn 0]", "++.++."),
        ("assistant[turn 1:]", "......"),
        ('"xa"', "+...+."),  # begins in the opening
        ('"xxa"', "+....."),
        ('"<|end|>"', "..+..+"),
        ('"<|end|>x"', "...+.."),
        ("special - id:6", "......"),
        ('generated - "<|end|>xa" - position[5]', "+..+.."),
    ],
)
def test_a_reply_token_by_token(selector: str, marks: str) -> None:
    assert reply_mask(selector, row("uU", "xx"), "axAxaA") == marks


def test_no_text_begins_in_scaffolding() -> None:
    """The S before the reply is written with the letter s, which is no one's word."""
    assert reply_mask('"sa"', row("uS"), "a") == "."
    assert reply_mask('"sa"', row("us"), "a") == "+"


def test_rows_without_a_selector_may_be_masked_as_is_cheapest() -> None:
    table = MaskTable([row("u"), row("u")], [None, "response"], reply_tokens=2)
    ids, special = np.array([[50], [50]]), np.zeros((2, 1), dtype=bool)
    assert table.over_reply(np.arange(2), Said.nothing(2), ids, special).all()
    assert not table.touches(0)
    assert table.touches(1)


@pytest.mark.parametrize(
    ("selector", "touched"),
    [
        ("response - response", False),
        ("special - response", False),
        ("prompt - user", False),
        ("id:5 - id:5", False),
        ("id:5", True),
        ('position[9] - "x"', True),
        ("position[30]", False),
        ("position[4] - position[2:8]", False),
    ],
)
def test_a_selector_that_can_match_nothing_is_known_before(selector: str, touched: bool) -> None:
    assert MaskTable([row("uu")], [selector], reply_tokens=12).touches(0) is touched


SELECTORS = [
    "generated[1:] - id:{first}",
    'id:{first} + "{text}" - last',
    "position[2:{end}] + user[turn -1]",
    'all + special - "{text}" - generated[3]',
]


def words(student: Student, prompt: Prompt) -> dict[str, object]:
    """Pieces of a reply that come up in it, so that selectors have something to find."""
    (reply,) = generate(student, [prompt], max_new_tokens=8, temperature=0)
    return {"first": reply.ids[0], "text": "ab", "end": len(encode(student, prompt).ids) + 3}


def test_steered_replies_are_those_of_plain_forwards(student: Student) -> None:
    """With the cache and side by side, against one row at once, unpadded and uncached."""
    asked = [Prompt.chat("ab" * n) for n in (1, 9, 4, 4)]
    vector = build_vector(student)
    plans = [
        Plan.single(vector, 1, 0.7, selector=text.format(**words(student, prompt)))
        for text, prompt in zip(SELECTORS, asked, strict=True)
    ]
    replies = generate(student, asked, plans, max_new_tokens=14, temperature=0)
    for prompt, plan, reply in zip(asked, plans, replies, strict=True):
        full = grown(student, prompt, reply.ids)
        logits = reference_logits(student, full, plan)[full.prompt_length - 1 :]
        expected = logits.argmax(-1).tolist()[:14]
        assert reply.ids == expected[: len(reply.ids)]


def test_options_are_scored_as_the_completions_that_they_are(llama: Student) -> None:
    """Many tokens in one forward on a cache, against the whole row at once."""
    asked, options = [Prompt.chat("ab"), Prompt.chat("baba")], ["abba", "b", "bab<|end|>ab"]
    plans = [
        Plan.single(build_vector(llama), 1, 1.0, selector=text)
        for text in ('"ba" + position[5:9]', 'generated - "ab" + "<|end|>a"')
    ]
    found = option_logprobs(llama, asked, options, plans)
    for prompt, plan, scores in zip(asked, plans, found, strict=True):
        examples = [Example(prompt=prompt, completion=option) for option in options]
        for score, each in zip(scores, completion_logprobs(llama, examples, plan), strict=True):
            assert score.item() == pytest.approx(each.sum().item(), abs=1e-3)


def test_texts_are_those_of_the_students_tokenizer(llama: Student) -> None:
    item = Example(prompt=Prompt.chat("a cat, a hat"), completion="a cat")
    where = encode(llama, item)
    found: Mask = parse('"cat"').mask(where)
    assert llama.tokenizer.decode(np.array(where.ids)[found]) == "catt"
    assert SPELLING.ways("cat") == llama.spelling.ways("cat")
