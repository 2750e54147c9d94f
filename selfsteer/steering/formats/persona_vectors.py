"""Persona vectors (Chen et al., 2025): one tensor ``[n_layers + 1, d_model]`` from `torch.save`.

Row i is the mean difference of ``hidden_states[i]``, which is the embedding output for i = 0 and
the output of block i - 1 after that, so row i is our layer i - 1. The last row is not: the last
hidden state is taken after the final norm and is no activation that anything can be added to. It is
left out, with a note.
"""

from __future__ import annotations

from selfsteer.errors import VectorError
from selfsteer.steering.formats.foreign import Foreign
from selfsteer.steering.formats.torch_file import check_direction, load_torch_file


def decode_persona_vectors(data: bytes, source: str, n_layers: int) -> Foreign:
    """Read a persona vector.

    Args:
        n_layers: the student's number of blocks; the file holds one row more.

    Raises:
        VectorError: not such a file, damaged, or with another number of rows.
    """
    rows = check_direction(load_torch_file(data, source), len(data), source)
    if rows.ndim != 2 or rows.shape[0] != n_layers + 1:
        raise VectorError(
            f"{source} has shape {list(rows.shape)}; persona vectors of a student with {n_layers} "
            f"blocks have {n_layers + 1} rows, one for each of its hidden states."
        )
    directions = {row - 1: rows[row] for row in range(n_layers)}
    return Foreign(directions, {"left_out": f"row {n_layers}, which is after the final norm"})
