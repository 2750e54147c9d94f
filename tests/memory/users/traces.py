"""Looking for what should be gone, in every byte of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from selfsteer.memory import Memory
from selfsteer.steering.vectors import SteeringVector


def numbers(vector: SteeringVector) -> bytes:
    """The bytes of a vector's first direction, as they stand in its file."""
    return next(iter(vector.directions.values())).numpy().astype("<f4").tobytes()


def traces(folder: Path, needles: Iterable[str | bytes]) -> list[str]:
    """Which of these stands in which file."""
    wanted = [needle.encode() if isinstance(needle, str) else needle for needle in needles]
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        f"{needle[:40]!r} in {path.relative_to(folder)}"
        for path in files
        for needle in wanted
        if needle in path.read_bytes()
    ]


def rows(memory: Memory) -> dict[str, int]:
    """How many rows each table has."""
    tables = memory.connection.query(
        "SELECT name FROM pragma_table_list WHERE type = 'table' AND strict AND schema = 'main'"
    )
    return {
        row["name"]: memory.connection.query(f"SELECT count(*) AS n FROM {row['name']}")[0]["n"]
        for row in tables
    }
