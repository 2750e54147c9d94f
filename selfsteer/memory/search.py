"""Full-text search over goals, reasons and concepts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from selfsteer.errors import MemoryFileError
from selfsteer.memory.goals import content_terms, goal_key
from selfsteer.memory.store import Memory


class Found(BaseModel):
    """A text that has some of the words.

    Attributes:
        kind: the goal of a run, a reason given in one, or the concept of a vector.
        owner: the id of that run or vector.
        snippet: the part of the text that has them, with each in square brackets.
        score: BM25, more is better.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["goal", "reason", "concept"]
    owner: str
    snippet: str
    score: float


def search(memory: Memory, text: str, limit: int = 20) -> list[Found]:
    """What has words of ``text``, in any of their forms, the best first.

    Words that only put a goal ("I want it to sound") count where there are no others. Vectors in
    quarantine are left out.

    Raises:
        MemoryFileError: no word to search for.
    """
    words = content_terms(text) or goal_key(text).split()
    if not words:
        raise MemoryFileError(f"There is no word in {text!r} to search for.")
    rows = memory.connection.query(
        "SELECT kind, owner, snippet(texts_fts, 0, '[', ']', '…', 16) AS snippet, -rank AS score "
        "FROM texts_fts JOIN texts ON texts.id = texts_fts.rowid "
        "WHERE texts_fts MATCH :query AND owner NOT IN (SELECT artefact_id FROM quarantined) "
        "ORDER BY rank, texts.id DESC LIMIT :limit",
        {"query": " OR ".join(f'"{word}"' for word in words), "limit": limit},
    )
    return [Found.model_validate(row) for row in rows]
