"""The nearest directions as SQLite finds them, with the extension sqlite-vec where that loads.

Stored vectors are measured where they lie: nothing is read into Python, and there is no index to
keep. A scan is slower than a product with a matrix in memory, and faster than filling that matrix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selfsteer.memory.connection import Connection

OF_A_LAYER = (
    "kind = 'vector' AND json_extract(meta, '$.student_fingerprint') = :fingerprint "
    "AND EXISTS (SELECT 1 FROM json_each(meta, '$.layers') WHERE value = :layer) "
    "AND id NOT IN (SELECT artefact_id FROM quarantined)"
)
"""What an artefact with a direction of a student at a layer is."""

_HEX = "'0123456789ABCDEF'"


def _byte(place: int) -> str:
    """SQL for a byte of `head` as a number, the first being 1."""
    digits = (f"substr(hex(substr(head, {place}, 1)), {digit}, 1)" for digit in (1, 2))
    high, low = (f"(instr({_HEX}, {digit}) - 1)" for digit in digits)
    return f"(16 * {high} + {low})"


# A safetensors file begins with the size of its header, of which three bytes are more than enough.
_SIZE = " + ".join(f"{256**place} * {_byte(place + 1)}" for place in range(3))
# Materialized, because SQLite would read a blob anew at every mention. What is damaged is no
# direction and must not end the scan, so every step guards itself.
_SCAN = f"""
    WITH heads AS MATERIALIZED (
        SELECT rowid AS place, substr(data, 1, 3) AS head FROM artefacts WHERE {OF_A_LAYER}
    ),
    sizes AS MATERIALIZED (SELECT place, {_SIZE} AS taken FROM heads),
    headers AS MATERIALIZED (
        SELECT place, taken, CAST(substr(data, 9, taken) AS TEXT) AS header
        FROM sizes JOIN artefacts ON artefacts.rowid = place
    ),
    offsets AS MATERIALIZED (
        SELECT place, taken,
            CASE WHEN json_valid(header) THEN json_extract(header, :offsets || '[0]') END AS start,
            CASE WHEN json_valid(header) THEN json_extract(header, :offsets || '[1]') END AS stop
        FROM headers
    ),
    distances AS MATERIALIZED (
        SELECT id, CASE WHEN stop - start = :bytes AND 8 + taken + stop <= length(data)
            THEN vec_distance_cosine(substr(data, 9 + taken + start, :bytes), :asked)
            END AS distance
        FROM offsets JOIN artefacts ON artefacts.rowid = place
    )
    SELECT id FROM distances WHERE distance IS NOT NULL ORDER BY distance LIMIT :limit
"""


def can_scan(connection: Connection) -> bool:
    """Whether sqlite-vec is there and this SQLite loads it; many Pythons have one that does not."""
    try:
        from sqlite_vec import loadable_path  # type: ignore[import-untyped]
    except ImportError:
        return False
    return connection.load_extension(loadable_path())


def scan(
    connection: Connection, direction: NDArray[np.float32], fingerprint: str, layer: int, limit: int
) -> list[str]:
    """The ids of the vectors of a student with the highest cosines at a layer, the highest first.

    Nothing is verified: whoever uses what is found checks its hash.

    Args:
        connection: for which `can_scan` is true.
        direction: ``[d_model]``.
    """
    rows = connection.query(
        _SCAN,
        {
            "fingerprint": fingerprint,
            "layer": layer,
            "offsets": f'$."direction.{layer}".data_offsets',
            "bytes": 4 * len(direction),
            "asked": np.ascontiguousarray(direction, dtype="<f4").tobytes(),
            "limit": limit,
        },
    )
    return [row["id"] for row in rows]
