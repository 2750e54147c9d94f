"""What is put before us and before every peer: a random student, texts, and a vector, as files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from selfsteer.steering import forward
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.editing.hooks import steering
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.formats.exchange import export_vector
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.vectors import SteeringVector
from tests.conformance.cases import edit_cases
from tests.steering.students import build_student, build_vector

LAYERS = 6
# Small enough that a chain of random blocks does not make more of a rounding error than a trained
# model would, and large enough that logits are of the size of 1.
_INITIALIZER = 0.1
COEFFICIENT = 0.7
_ADJECTIVES = (
    ("cheerful", "gloomy"),
    ("bright", "dim"),
    ("warm and glad", "cold and sad"),
    ("merry", "sorrowful"),
    ("sunny", "bleak"),
    ("delighted", "dejected"),
)
_FRAMES = ("What a {} morning!", "The letter sounded {}", "They were {} when the train came in.")


@dataclass(frozen=True)
class World:
    """The folder, and what we made of it.

    Attributes:
        vector: random directions of length 3 or so for the blocks from 1 on.
        edits: the cases to compare with nnsight, by name.
    """

    folder: Path
    student: Student
    dataset: ContrastiveDataset
    row: Encoded
    vector: SteeringVector
    edits: dict[str, Plan]

    def logits(self, plan: Plan) -> Tensor:
        """Ours, ``[T, V]``, of the row under a plan."""
        ids = torch.tensor([self.row.ids])
        positions = torch.arange(ids.shape[1])[None]
        with torch.inference_mode(), steering(self.student, [plan], [self.row]) as edits:
            edits.on_rows("left", ids.shape[1])
            kept = ids.shape[1]
            return forward.logits(self.student, ids, None, positions, keep=kept)[0].clone()


def build_world(folder: Path) -> World:
    """Write the student, the texts and the vector into `folder`."""
    student = build_student("llama", num_hidden_layers=LAYERS, initializer_range=_INITIALIZER)
    student.model.save_pretrained(folder / "student")
    student.tokenizer.save_pretrained(folder / "student")
    pairs = [
        (frame.format(positive), frame.format(negative))
        for frame in _FRAMES
        for positive, negative in _ADJECTIVES
    ]
    dataset = ContrastiveDataset(
        concept="cheerful",
        pairs=tuple(ContrastivePair(positive=_raw(a), negative=_raw(b)) for a, b in pairs),
    )
    row = encode(student, Prompt.raw("We met at the bridge, and nobody spoke."))
    whole = build_vector(student, seed=1)
    vector = _some_layers(whole, tuple(range(1, LAYERS)))
    vector.save(folder / "vector.safetensors")
    export_vector(vector, folder / "vector.gguf", format="gguf", model_hint="llama")
    other = build_vector(student, seed=2)
    cases = edit_cases(whole, other)
    used = {each for plan in cases.values() for edit in plan.edits for each in edit.vectors}
    directions = {
        f"{each.id}.{layer}": each.directions[layer]
        for each in {whole, other, *used}
        for layer in each.layers
    }
    save_file(directions, folder / "directions.safetensors")
    world = World(folder, student, dataset, row, vector, cases)
    (folder / "world.json").write_text(json.dumps(_task(world, pairs), indent=1))
    return world


def _raw(text: str) -> Example:
    return Example(prompt=Prompt.raw(text))


def _some_layers(vector: SteeringVector, layers: tuple[int, ...]) -> SteeringVector:
    return SteeringVector(
        directions={layer: vector.directions[layer] / 2 for layer in layers},
        residual_norms={layer: vector.residual_norms[layer] for layer in layers},
        method=vector.method,
        selector=vector.selector,
        concept=vector.concept,
        dataset_id=vector.dataset_id,
        student_fingerprint=vector.student_fingerprint,
    )


def _task(world: World, pairs: list[tuple[str, str]]) -> dict[str, object]:
    """What the peers read."""
    edits = {
        name: [
            {
                "operator": edit.operator,
                "layer": layer,
                "strength": edit.strength,
                "norm": edit.vector.residual_norms[layer],
                "vectors": [vector.id for vector in edit.vectors],
                "norm_preserving": edit.norm_preserving,
                "gate": None if edit.gate is None else edit.gate.describe(),
            }
            for edit in plan.edits
            for layer in edit.layers
        ]
        for name, plan in world.edits.items()
    }
    return {
        "layers": LAYERS,
        "pairs": pairs,
        "ids": world.row.ids,
        "coefficient": COEFFICIENT,
        "edits": edits,
    }
