"""A bundle: what runs and vectors are made of, as one zip file for another memory.

``bundle.json`` holds the rows, ``blobs/ID.EXT`` the bytes of each artefact. Nothing in it is ever
unpacked to disk, and the blobs are stored without compression, so that a small file cannot become a
large one.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from selfsteer.memory.records import Candidate, Doubt, Event, LedgerEntry, Remembered, Round, Run

CONTENTS = "bundle.json"
_SUFFIXES = {"vector": "safetensors", "dataset": "jsonl"}

ArtefactId = Annotated[str, Field(pattern=re.compile(r"\A[0-9a-f]{16}\Z"))]


class BundledArtefact(BaseModel):
    """A blob of the bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: ArtefactId
    kind: Annotated[str, Field(pattern=re.compile(r"\A[a-z][a-z0-9_-]{0,63}\Z"))]
    sha256: Annotated[str, Field(pattern=re.compile(r"\A[0-9a-f]{64}\Z"))]
    size: Annotated[int, Field(ge=0)]
    meta: dict[str, JsonValue]

    @property
    def member(self) -> str:
        """Its name in the zip file."""
        return f"blobs/{self.id}.{_SUFFIXES.get(self.kind, 'bin')}"


class BundledRun(BaseModel):
    """A run that ended, with everything that it did.

    Attributes:
        remembered: the plan that it was accepted with; its numbers count in its own memory only.
        supersedes: the run whose plan that one replaced.
        doubts: that later runs had about the plan.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: Run
    rounds: tuple[Round, ...]
    candidates: tuple[Candidate, ...]
    events: tuple[Event, ...]
    ledger: tuple[LedgerEntry, ...]
    remembered: Remembered | None
    supersedes: str | None
    doubts: tuple[Doubt, ...]


class Bundle(BaseModel):
    """Everything but the bytes of the blobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["selfsteer.bundle"] = "selfsteer.bundle"
    version: Literal[1] = 1
    artefacts: tuple[BundledArtefact, ...]
    runs: tuple[BundledRun, ...]
