"""What an evolution works with, and what it has spent."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from selfsteer.agents.budget import CannotGoOn, OutOfBudget, Spent
from selfsteer.agents.context import Context
from selfsteer.agents.evolving.genomes import Genome, World
from selfsteer.agents.evolving.selection import Individual
from selfsteer.agents.evolving.settings import GROUPS, EvolveSettings, workload
from selfsteer.agents.room import spent_in_all
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.vectors import SteeringVector


@dataclass
class EvolveContext(Context):
    """The live side of one evolution.

    Attributes:
        spent: by the evolution so far, paid calls left out, which the ledger knows.
    """

    spent: Spent = field(default=Spent(), init=False)
    _known: dict[str, SteeringVector] = field(default_factory=dict, init=False)

    @property
    def wanted(self) -> EvolveSettings:
        """The settings, as what they are."""
        assert isinstance(self.settings, EvolveSettings)
        return self.settings

    @property
    def world(self) -> World:
        """What the population lives in."""
        founders = [self.vector(name) for name in self.wanted.evolution.founders]
        return World.of(founders, self.wanted.range)

    def vector(self, vector_id: str) -> SteeringVector:
        """A vector from memory, read once."""
        if vector_id not in self._known:
            self._known[vector_id] = super().vector(vector_id)
        return self._known[vector_id]

    def genome(self, individual: Individual) -> Genome:
        """What an individual carries."""
        return Genome(self.vector(individual.vector), individual.layer, individual.strength)

    def prepare_judge(self, dataset_id: str | None) -> None:
        """The judge learns once, before the first generation: one scale for all of them."""

    @contextmanager
    def on_account(self) -> Iterator[None]:
        """Count the minutes of a block, however it ends, and what was spent where a search ends."""
        began = time.monotonic()
        try:
            yield
        except CannotGoOn as error:
            self.spent = self.spent.plus(**error.spent)
            raise
        finally:
            self.spent = self.spent.plus(minutes=(time.monotonic() - began) / 60)

    def probes_of(self, generation: int) -> Sequence[Prompt]:
        """The development probes of a generation.

        The next ones in turn, so that who lives on is not judged on the same ones again.
        """
        probes = self.probes.development
        count = min(self.settings.effort.development_prompts, len(probes))
        return [probes[(generation * count + i) % len(probes)] for i in range(count)]

    def check_room(self, candidates: int, replies: int) -> None:
        """Refuse a generation after which the last looks could not be paid.

        Replies are taken to be as long as they may become, and to cost as many minutes as those
        before.

        Raises:
            OutOfBudget: a limit would be passed.
        """
        asked = workload(self.wanted, self.probes)
        # The finalists and the confirmation come after any generation.
        replies += asked["finalists"] + asked["confirm"]
        candidates += GROUPS * self.settings.effort.finalists + 1
        spent = spent_in_all({"spent": self.spent.model_dump()}, self)
        pace = spent.minutes / spent.replies if spent.replies else 0.0
        missing = self.settings.budget.exceeded(
            spent.plus(
                candidates=candidates,
                generated_tokens=replies * self.settings.max_new_tokens,
                minutes=replies * pace,
            )
        )
        if missing is not None:
            raise OutOfBudget(missing)
