"""Where the parts of a student lie."""

from __future__ import annotations

import torch

from selfsteer.steering.model import Student


def layer_device(student: Student, layer: int) -> torch.device:
    """The device of a layer's activations: each block may lie on one of its own."""
    return next(student.layers[max(layer, 0)].parameters()).device
