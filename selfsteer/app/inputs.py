"""What a run was started with beyond its settings, kept with it so that `resume` needs nothing.

Datasets and capability questions go to memory under their content, so that a resumed run uses what
it began with, whatever has become of the files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from selfsteer.agents.events import record_event
from selfsteer.app.controllers import Deciders
from selfsteer.app.settings import AppSettings
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.capability import bundled_capability
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.metrics.retention import CapabilityItem

_EVENT = "inputs"


class Inputs(BaseModel):
    """Where the parties of a run come from.

    Attributes:
        student: as `Student.load` takes it; a folder by its full path.
        device, dtype: as `Student.load` takes them.
        dataset_id: the dataset that was given to the controller.
        capability_id: the capability questions that were given; None means those that lie beside
            the student.
        who: who decides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    student: str
    device: str
    dtype: str
    dataset_id: str | None = None
    capability_id: str | None = None
    who: Deciders = Deciders()

    @classmethod
    def store(
        cls,
        memory: Memory,
        *,
        student: str,
        device: str,
        dtype: str,
        dataset: ContrastiveDataset | None,
        capability: Sequence[CapabilityItem] | None,
        who: Deciders,
    ) -> Self:
        """Put what was given into memory."""
        questions = None
        if capability is not None:
            data = json.dumps([item.model_dump(mode="json") for item in capability]).encode()
            questions = memory.put_blob("capability", data, {"questions": len(capability)})
        return cls(
            student=str(Path(student).resolve()) if Path(student).is_dir() else student,
            device=device,
            dtype=dtype,
            dataset_id=None if dataset is None else memory.put_dataset(dataset),
            capability_id=questions,
            who=who,
        )

    @classmethod
    def of_run(cls, memory: Memory, run: Run) -> Self:
        """What a run was started with."""
        for event in memory.runs.events(run.id):
            if event.kind == _EVENT:
                return cls.model_validate(event.payload)
        # Started from Python, or killed before it could say more.
        settings = AppSettings()
        return cls(
            student=run.student,
            device=settings.device,
            dtype=settings.dtype,
            who=Deciders(controller=run.controller),
        )

    def attach(self, memory: Memory, run_id: str) -> None:
        """Keep this with a run."""
        record_event(memory, run_id, _EVENT, self.model_dump(), key=_EVENT)

    def dataset(self, memory: Memory) -> ContrastiveDataset | None:
        """The dataset that was given."""
        return None if self.dataset_id is None else memory.get_dataset(self.dataset_id)

    def capability(self, memory: Memory) -> list[CapabilityItem]:
        """The questions that were given, or those that lie beside the student."""
        if self.capability_id is None:
            return bundled_capability(self.student)
        rows = json.loads(memory.get_blob("capability", self.capability_id))
        return [CapabilityItem.model_validate(row) for row in rows]
