"""Methods that need the student itself, its gradients or its positions, by name.

:func:`selfsteer.steering.extraction.registry.extract` is for methods that are functions of
activations. A method here gets the student, examples that show the concept and examples that do
not, and returns a vector. Third parties register theirs as an entry point of the group
``selfsteer.optimisation``, whose name is the method's name and whose object is the function; a
plug-in is imported when it is asked for, and its name never hides a built-in method.

What is no single vector has an interface of its own: ActAdd gives a vector for each position
(:mod:`selfsteer.steering.extraction.act_add`), subspaces and erasures give bases.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any

from selfsteer.errors import DatasetError, VectorError
from selfsteer.steering.extraction.optimised import optimise_vector
from selfsteer.steering.extraction.plug_ins import load_function
from selfsteer.steering.extraction.positions import all_position_vector
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.vectors import SteeringVector

ENTRY_POINT_GROUP = "selfsteer.optimisation"


Optimiser = Callable[..., SteeringVector]
"""From ``(student, promote, suppress, *, concept)``, and options of its own as keywords."""


def optimisers() -> list[str]:
    """The names that :func:`optimise` knows, sorted."""
    return sorted({*_METHODS, *entry_points(group=ENTRY_POINT_GROUP).names})


def register_optimiser(name: str, method: Optimiser) -> None:
    """Add a method for this process.

    Raises:
        VectorError: the name is taken.
    """
    if name in optimisers():
        raise VectorError(f"There is an optimiser {name!r} already; choose another name.")
    _METHODS[name] = method


def optimise(
    method: str,
    student: Student,
    promote: Sequence[Example],
    suppress: Sequence[Example] = (),
    *,
    concept: str,
    **options: Any,
) -> SteeringVector:
    """The vector that a method finds with the student at hand.

    Args:
        method: a name of :func:`optimisers`.
        promote: prompts with completions that show the concept; the positives of a dataset, say.
        suppress: ones that do not; some methods need none.
        concept: what the vector is to be called.
        options: the method's own; `optimised` needs a ``layer``.

    Raises:
        VectorError: the method is unknown or cannot be imported, an option that it has not or one
            that is missing, or a result that is no vector of this student.
        SelfsteerError: whatever else the method refuses, as its own function says.
    """
    function = _find(method)
    _check_options(method, function, options)
    vector: object = function(student, promote, suppress, concept=concept, **options)
    if not isinstance(vector, SteeringVector):
        raise VectorError(
            f"Optimiser {method!r} returned {type(vector).__name__}; it should be a SteeringVector."
        )
    vector.check_student(student)
    return vector


def _all_positions(
    student: Student,
    promote: Sequence[Example],
    suppress: Sequence[Example],
    *,
    concept: str,
    layers: Sequence[int] | None = None,
    selector: str = "all + special",
    filler: str = " ",
) -> SteeringVector:
    """One example a side, which differ in their system messages."""
    if len(promote) != 1 or len(suppress) != 1:
        raise DatasetError(
            f"all_positions reads one example a side; there are {len(promote)} and {len(suppress)}."
        )
    (positive, rest), (negative, other) = map(_without_system, (promote[0], suppress[0]))
    if rest != other:
        raise DatasetError("all_positions reads two examples that differ in system messages only.")
    return all_position_vector(
        student,
        positive,
        negative,
        rest,
        concept=concept,
        layers=layers,
        selector=selector,
        filler=filler,
    )


def _without_system(example: Example) -> tuple[str, Example]:
    systems = [message for message in example.prompt.messages if message.role == "system"]
    others = tuple(message for message in example.prompt.messages if message.role != "system")
    if len(systems) != 1 or not others:
        raise DatasetError(
            "all_positions reads chats with one system message, which holds the contrast, and a "
            "turn of the user."
        )
    return systems[0].content, example.model_copy(update={"prompt": Prompt(messages=others)})


_METHODS: dict[str, Optimiser] = {
    "optimised": optimise_vector,
    "all_positions": _all_positions,
}


def _find(name: str) -> Optimiser:
    if name in _METHODS:
        return _METHODS[name]
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return load_function(entry, "Optimiser", "a student and examples to a SteeringVector")
    raise VectorError(f"Unknown optimiser {name!r}; known are {', '.join(optimisers())}.")


def _check_options(method: str, function: Optimiser, options: dict[str, Any]) -> None:
    """Refuse options that the function has not, and leave out none that it needs."""
    try:
        inspect.signature(function).bind(None, (), (), concept="", **options)
    except (TypeError, ValueError) as error:
        raise VectorError(f"Optimiser {method!r} cannot be called like this: {error}.") from None
