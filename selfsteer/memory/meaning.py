"""Recall by meaning: plans for goals that say in other words what is asked for.

Nothing is stored: the goals are encoded when there is a question, so that forgetting a run forgets
what was known of its goal too, and a new encoder needs no new index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selfsteer.memory.encoder import Encoder, Floats
from selfsteer.memory.goals import content_terms, turns
from selfsteer.memory.records import Alike, Remembered
from selfsteer.memory.store import Memory

LEAST = 0.4
"""Cosine from which a plan is offered, measured with all-MiniLM-L6-v2 (decision 9)."""


@dataclass(frozen=True)
class Meaning:
    """Looks for goals that mean the same.

    Attributes:
        encoder: texts to points.
        least: the cosine from which two goals may mean the same; encoders differ in it.
    """

    encoder: Encoder
    least: float = LEAST

    def recall(
        self,
        memory: Memory,
        goal: str,
        fingerprint: str,
        limit: int = 3,
        *,
        run_id: str | None = None,
    ) -> list[Alike]:
        """Plans for this student whose goals are like ``goal``, the likest first, then the newest.

        Goals are compared by their content words, because the way in which they are put makes all
        alike. A goal that is turned round ("never sound sad") is like none that is not: to an
        encoder they are as good as the same.

        Args:
            run_id: the run that asks, as in :meth:`Recall.recall`.

        Raises:
            EncoderError: the encoder cannot be loaded.
        """
        plans = memory.recallable(fingerprint, run_id=run_id)
        return self._alike(goal, plans)[:limit]

    def stale(
        self,
        memory: Memory,
        goal: str,
        fingerprint: str,
        limit: int = 3,
        *,
        run_id: str | None = None,
    ) -> list[Alike]:
        """Like :meth:`recall`, for plans of *other* students: to be named, never to be applied."""
        plans = memory.recallable(fingerprint, stale=True, run_id=run_id)
        return self._alike(goal, plans)[:limit]

    def _alike(self, goal: str, plans: Sequence[Remembered]) -> list[Alike]:
        able = [plan for plan in plans if turns(plan.goal) == turns(goal)]
        if not able:
            return []
        asked = _wanted(goal)
        texts = list(dict.fromkeys([asked, *(_wanted(plan.goal) for plan in able)]))
        points = _unit(self.encoder(texts))
        cosines = dict(zip(texts, (points @ points[0]).tolist(), strict=True))
        found = [Alike(remembered=plan, cosine=cosines[_wanted(plan.goal)]) for plan in able]
        return sorted(
            (one for one in found if one.cosine >= self.least),
            key=lambda one: (-one.cosine, -one.remembered.id),
        )


def _wanted(goal: str) -> str:
    """The goal as it is encoded; one that is all phrasing, whole."""
    return " ".join(content_terms(goal)) or goal


def _unit(points: Floats) -> Floats:
    """Rows of length 1; a row of zeros stays, and is like nothing."""
    lengths: Floats = np.linalg.norm(points, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return points / lengths
