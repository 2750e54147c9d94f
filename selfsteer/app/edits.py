"""How a vector is to steer: as it was accepted, but for what options say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfsteer.app.loading import load_vector, open_memory
from selfsteer.errors import PlanError

if TYPE_CHECKING:
    from selfsteer.steering.plan import Edit


def steering_edit(
    source: str,
    db: Path | None,
    layer: int | None = None,
    strength: float | None = None,
    operator: str | None = None,
    selector: str | None = None,
) -> Edit:
    """The edit of the options; what they leave open is taken from the vector's acceptance.

    Args:
        source: a vector file, or the id of a vector in memory.

    Raises:
        PlanError: a vector that was never accepted, and no layer or strength; as `Edit` does.
        MemoryFileError, VectorError: as `load_vector` does.
    """
    from selfsteer.agents.sites import SITES
    from selfsteer.steering.plan import Edit

    found = load_vector(source, db)
    given: dict[str, Any] = {
        "layers": None if layer is None else (layer,),
        "strength": strength,
        "operator": operator,
        "selector": selector,
    }
    told = {name: value for name, value in given.items() if value is not None}
    accepted = {} if Path(source).is_file() else _accepted(found.id, db)
    if accepted:
        others = {found.id: found}
        edit = Edit.read(accepted, lambda name: others.get(name) or load_vector(name, db))
        return replace(edit, **told)
    if layer is None or strength is None:
        raise PlanError(
            f"Vector {found.id} has not been accepted for any goal here, so --layer and "
            f"--strength are needed; it has layers {', '.join(map(str, found.layers))}."
        )
    suits = next((s.steer for s in SITES.values() if s.read == found.selector), "all")
    return Edit(found, **({"selector": suits} | told))


def _accepted(vector_id: str, db: Path | None) -> dict[str, Any]:
    """The edit with which the vector last met a goal; empty if it never did."""
    with open_memory(db, read_only=True) as memory:
        plans: list[Any] = [row.plan for row in memory.remembered()]
    edits = [edit for plan in plans for edit in plan["edits"] if edit["vector"] == vector_id]
    return edits[-1] if edits else {}
