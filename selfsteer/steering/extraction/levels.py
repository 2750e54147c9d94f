"""Texts of a concept with any number of levels: which text has which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfsteer.errors import DatasetError
from selfsteer.steering.datasets import content_id
from selfsteer.steering.prompts import Example


@dataclass(frozen=True)
class Levels:
    """The levels of some texts.

    Attributes:
        names: the levels, in alphabetical order.
        labels: the place of each text's level among them.
        dataset_id: hash of the texts with their levels.
    """

    names: list[str]
    labels: list[int]
    dataset_id: str

    @classmethod
    def of(cls, examples: Sequence[Example], levels: Sequence[str]) -> Levels:
        """The level of each example.

        Raises:
            DatasetError: not one level for each example.
        """
        if len(levels) != len(examples):
            raise DatasetError(f"There are {len(examples)} examples and {len(levels)} levels.")
        names = sorted(set(levels))
        content = [
            [e.model_dump(mode="json"), level] for e, level in zip(examples, levels, strict=True)
        ]
        return cls(names, [names.index(level) for level in levels], content_id(content))
