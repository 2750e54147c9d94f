"""Contrastive datasets: pairs of examples that differ in one concept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from selfsteer.errors import DatasetError
from selfsteer.steering.prompts import Example

SCHEMA_VERSION = 1
_HEADER_KEY = "selfsteer_dataset"  # its value is the schema version


class ContrastivePair(BaseModel):
    """Two examples that differ in one concept: the positive side has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    positive: Example
    negative: Example


class ContrastiveDataset(BaseModel):
    """Contrastive pairs for one concept.

    Raises:
        DatasetError: there are no pairs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    concept: str
    pairs: tuple[ContrastivePair, ...]

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.pairs:
            raise DatasetError(
                f"The dataset for {self.concept!r} holds no pairs; give one or more."
            )
        return self

    @property
    def id(self) -> str:
        """First 16 hex digits of the sha256 over concept and pairs, in their order."""
        return hashlib.sha256(self.to_jsonl().encode()).hexdigest()[:16]

    @property
    def positives(self) -> list[Example]:
        """The positive side of every pair."""
        return [pair.positive for pair in self.pairs]

    @property
    def negatives(self) -> list[Example]:
        """The negative side of every pair."""
        return [pair.negative for pair in self.pairs]

    def to_jsonl(self) -> str:
        """One header line with the concept, then one line for each pair."""
        header = {_HEADER_KEY: SCHEMA_VERSION, "concept": self.concept}
        rows = [
            header,
            *(pair.model_dump(mode="json", exclude_defaults=True) for pair in self.pairs),
        ]
        return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)

    @classmethod
    def from_jsonl(cls, text: str, *, concept: str | None = None) -> ContrastiveDataset:
        """Read rows of JSON, one a line, or one JSON list of rows.

        A row is one of

        - what :meth:`to_jsonl` writes, whose first line names the concept;
        - ``{"positive": str, "negative": str}``: raw texts, without a completion;
        - ``{"question", "answer_matching_behavior", "answer_not_matching_behavior"}``: the question
          as the user's turn, the answers as completions, as the CAA datasets have it.

        Args:
            concept: overrides the concept of the header; needed where there is no header.

        Raises:
            DatasetError: no rows, a row that is none of these (with its number), no concept, or a
                newer schema.
        """
        rows = _parse_rows(text)
        if rows and _HEADER_KEY in rows[0]:
            header = rows.pop(0)
            concept = _header_concept(header) if concept is None else concept
        if concept is None:
            raise DatasetError(
                "The dataset does not name its concept; say what its pairs contrast."
            )
        pairs = tuple(_pair(row, number) for number, row in enumerate(rows, start=1))
        return cls(concept=concept, pairs=pairs)

    @classmethod
    def load(cls, path: str | Path, *, concept: str | None = None) -> ContrastiveDataset:
        """Read a file with :meth:`from_jsonl`.

        Raises:
            DatasetError: the file cannot be read as text, or its rows are refused.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise DatasetError(f"Cannot read the dataset {path}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise DatasetError(f"The dataset {path} is not UTF-8 text.") from error
        return cls.from_jsonl(text, concept=concept)


def content_id(content: Any) -> str:
    """First 16 hex digits of the sha256 over the canonical JSON of data that is no dataset."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _parse_rows(text: str) -> list[dict[str, Any]]:
    if text.lstrip().startswith("["):
        rows = _json(text, "The dataset")
    else:
        lines = [line for line in text.split("\n") if line.strip()]
        rows = [_json(line, f"Row {number}") for number, line in enumerate(lines, start=1)]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DatasetError(f"Row {number} of the dataset is not a JSON object.")
    return list(rows)


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{what} is not valid JSON ({error}).") from error


def _header_concept(header: Mapping[str, Any]) -> str:
    version, concept = header[_HEADER_KEY], header.get("concept")
    if version != SCHEMA_VERSION:
        raise DatasetError(
            f"The dataset has schema version {version}; this selfsteer reads {SCHEMA_VERSION}."
        )
    if not isinstance(concept, str):
        raise DatasetError("The header of the dataset has no concept.")
    return concept


def _pair(row: Mapping[str, Any], number: int) -> ContrastivePair:
    if "answer_matching_behavior" in row:
        row = _from_caa(row)
    elif isinstance(row.get("positive"), str):
        row = {side: {"prompt": {"text": row.get(side)}} for side in ("positive", "negative")}
    try:
        return ContrastivePair.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "row"
        raise DatasetError(f"Pair {number} of the dataset: {where}: {first['msg']}.") from error


def _from_caa(row: Mapping[str, Any]) -> dict[str, Any]:
    prompt = {"messages": [{"role": "user", "content": row.get("question")}]}
    return {
        side: {"prompt": prompt, "completion": row.get(key)}
        for side, key in (
            ("positive", "answer_matching_behavior"),
            ("negative", "answer_not_matching_behavior"),
        )
    }
