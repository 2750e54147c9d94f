"""Steering specs of EasySteer: JSON that points to a GGUF control vector.

The form is that of its documentation (the v2 API, where a clause selects by `prompt` and
`generation`): a vector is a file with tensors ``direction.<layer>``, where layer k is the output of
decoder block k, and the algorithm ``direct`` adds ``scale * direction``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence


def steering_spec(source: str, layers: Sequence[int], name: str) -> str:
    """A spec that adds the vector in ``source`` to every token, as JSON.

    Args:
        source: the path of the GGUF file, as the engine will find it.
        layers: the layers in that file.
        name: a label for EasySteer's log.
    """
    vector = {
        "source": source,
        "algorithm": "direct",
        "scale": 1.0,
        "layers": list(layers),
        "apply": {"prompt": "all", "generation": "all"},
        "name": name,
    }
    return json.dumps({"vectors": [vector]}, indent=2) + "\n"
