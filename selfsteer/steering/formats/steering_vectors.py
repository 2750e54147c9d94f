"""Vectors of the library steering-vectors, saved by `torch.save`.

The library has no file format of its own; its object is a dataclass with ``layer_activations``
(``[layer] -> [d_model]``) and ``layer_type``. Read are files with the object, with a dictionary of
its two fields, and with the layer activations alone. Layer k of the type ``decoder_block`` is the
output of block k, and a negative layer counts from the end; other types are places inside a block,
which are not steered here.
"""

from __future__ import annotations

from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.formats.foreign import Foreign, shown
from selfsteer.steering.formats.torch_file import check_direction, load_torch_file


class _Fields:
    """Stands in for the library's class; holds what the file sets on it."""


CLASSES = {"steering_vectors.steering_vector.SteeringVector": _Fields}


def decode_steering_vectors(data: bytes, source: str, n_layers: int) -> Foreign:
    """Read a vector of steering-vectors.

    Args:
        n_layers: the student's number of blocks, from which negative layers are counted.

    Raises:
        VectorError: not such a file, damaged, or of a layer type other than ``decoder_block``.
    """
    loaded = load_torch_file(data, source, CLASSES)
    fields = vars(loaded) if isinstance(loaded, _Fields) else loaded
    if isinstance(fields, dict) and "layer_activations" in fields:
        kind = fields.get("layer_type", "decoder_block")
        if not isinstance(kind, str) or kind != "decoder_block":
            raise VectorError(
                f"{source} steers {shown(kind)}, a place inside a block; only 'decoder_block', the "
                "output of a block, can be imported."
            )
        fields = fields["layer_activations"]
    if not isinstance(fields, dict) or not fields:
        raise VectorError(f"{source} holds no layer activations, so it is no vector.")
    directions: dict[int, Tensor] = {}
    for key, value in fields.items():
        if type(key) is not int or not -n_layers <= key < n_layers:
            raise VectorError(
                f"{source} has a direction for layer {shown(key)}; the student has blocks 0 to "
                f"{n_layers - 1}."
            )
        layer = key if key >= 0 else n_layers + key
        if layer in directions:
            raise VectorError(f"{source} has two directions for layer {layer}.")
        directions[layer] = check_direction(value, len(data), source)
    return Foreign(directions)
