"""Which text has which item and which levels of which attributes: the design of a factorial study.

An item is what is the same in several texts, such as the concept that a word names in several
languages; an attribute is what is varied, and its values are levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from selfsteer.errors import DatasetError


@dataclass(frozen=True)
class Contrast:
    """One level of an attribute against another one, or against the mean of all levels (None)."""

    attribute: str
    level: str
    against: str | None = None

    def __str__(self) -> str:
        return f"{self.attribute}: {self.level} - {self.against or 'mean of levels'}"


@dataclass(frozen=True)
class Design:
    """The factors of N texts, any of them in any number of texts.

    Attributes:
        attributes: for each attribute its level in each text, N of them.
        items: the item of each text, N of them; empty where all texts share one baseline.

    Raises:
        DatasetError: no attribute, no text, factors of different length, an attribute with one
            level only.
    """

    attributes: Mapping[str, Sequence[str]]
    items: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        attributes = {name: tuple(levels) for name, levels in self.attributes.items()}
        if not attributes or not all(attributes.values()):
            raise DatasetError(
                "A design needs an attribute, and for each attribute the level of every text."
            )
        texts = len(next(iter(attributes.values())))
        object.__setattr__(self, "attributes", attributes)
        object.__setattr__(self, "items", tuple(self.items) or ("",) * texts)
        lengths = {name: len(levels) for name, levels in attributes.items()}
        lengths["items"] = len(self.items)
        if len(set(lengths.values())) > 1:
            raise DatasetError(f"The factors of a design should be of one length, not {lengths}.")
        for name, levels in attributes.items():
            if len(set(levels)) == 1:
                raise DatasetError(
                    f"Attribute {name!r} has the level {levels[0]!r} in every text; a contrast "
                    "needs two."
                )

    @property
    def n_texts(self) -> int:
        """The number of texts, N."""
        return len(self.items)

    @cached_property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Attribute and level of each of the P effects: attributes as given, levels sorted."""
        return tuple(
            (name, level)
            for name, levels in self.attributes.items()
            for level in sorted(set(levels))
        )

    def levels(self, attribute: str) -> list[str]:
        """The levels of an attribute, sorted.

        Raises:
            DatasetError: there is no such attribute.
        """
        if attribute not in self.attributes:
            raise DatasetError(
                f"The design has no attribute {attribute!r}; it has {', '.join(self.attributes)}."
            )
        return [level for name, level in self.columns if name == attribute]

    def contrasts(self) -> list[Contrast]:
        """Each level against the mean of its attribute; for two levels, one against the other."""
        found: list[Contrast] = []
        for attribute in self.attributes:
            levels = self.levels(attribute)
            if len(levels) == 2:
                found.append(Contrast(attribute, levels[1], levels[0]))
            else:
                found += [Contrast(attribute, level) for level in levels]
        return found

    def weights(self, contrast: Contrast) -> Tensor:
        """``[P]`` float64, what each effect adds to a contrast; they sum to 0.

        Raises:
            DatasetError: an attribute or a level that the design has not, or a level against
                itself.
        """
        levels = self.levels(contrast.attribute)
        for level in (contrast.level, contrast.against):
            if level is not None and level not in levels:
                raise DatasetError(
                    f"Attribute {contrast.attribute!r} has no level {level!r}; it has "
                    f"{', '.join(levels)}."
                )
        if contrast.level == contrast.against:
            raise DatasetError(f"Level {contrast.level!r} cannot be contrasted with itself.")
        place = {column: number for number, column in enumerate(self.columns)}
        weights = torch.zeros(len(place), dtype=torch.float64)
        weights[place[contrast.attribute, contrast.level]] = 1
        others = levels if contrast.against is None else [contrast.against]
        for level in others:
            weights[place[contrast.attribute, level]] -= 1 / len(others)
        return weights

    @cached_property
    def item_index(self) -> Tensor:
        """``[N]``, the number of each text's item."""
        number = {item: place for place, item in enumerate(dict.fromkeys(self.items))}
        return torch.tensor([number[item] for item in self.items])

    @cached_property
    def effect_index(self) -> Tensor:
        """``[N, A]``, the columns that hold for each text, one for each attribute."""
        place = {column: number for number, column in enumerate(self.columns)}
        rows = [
            [place[name, level] for level in levels] for name, levels in self.attributes.items()
        ]
        return torch.tensor(rows).T
