"""Steer a language model from the inside, towards a goal stated in a sentence, and measure it.

The names below are the everyday ones; they are loaded on first use, so that importing the package
(and asking the command line for help) does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfsteer.agents.loop import resume_run as resume_run
    from selfsteer.agents.loop import run_goal as run_goal
    from selfsteer.agents.search import SearchController as SearchController
    from selfsteer.agents.self_controller import SelfController as SelfController
    from selfsteer.agents.settings import RunSettings as RunSettings
    from selfsteer.agents.types import Goal as Goal
    from selfsteer.memory.store import Memory as Memory
    from selfsteer.steering.capability import bundled_capability as bundled_capability
    from selfsteer.steering.datasets import ContrastiveDataset as ContrastiveDataset
    from selfsteer.steering.extraction.extract import extract_vector as extract_vector
    from selfsteer.steering.extraction.optimise import optimise as optimise
    from selfsteer.steering.extraction.optimised import optimise_vector as optimise_vector
    from selfsteer.steering.formats.exchange import export_vector as export_vector
    from selfsteer.steering.formats.exchange import import_vector as import_vector
    from selfsteer.steering.generate import generate as generate
    from selfsteer.steering.generate_hf import steered_generate_hf as steered_generate_hf
    from selfsteer.steering.grammar import Grammar as Grammar
    from selfsteer.steering.model import Student as Student
    from selfsteer.steering.plan import Plan as Plan
    from selfsteer.steering.prompts import Prompt as Prompt
    from selfsteer.steering.vectors import SteeringVector as SteeringVector

__version__ = "0.1.0"

_HOMES = {
    "ContrastiveDataset": "steering.datasets",
    "Goal": "agents.types",
    "Grammar": "steering.grammar",
    "Memory": "memory.store",
    "Plan": "steering.plan",
    "Prompt": "steering.prompts",
    "RunSettings": "agents.settings",
    "SearchController": "agents.search",
    "SelfController": "agents.self_controller",
    "SteeringVector": "steering.vectors",
    "Student": "steering.model",
    "bundled_capability": "steering.capability",
    "export_vector": "steering.formats.exchange",
    "extract_vector": "steering.extraction.extract",
    "generate": "steering.generate",
    "import_vector": "steering.formats.exchange",
    "optimise": "steering.extraction.optimise",
    "optimise_vector": "steering.extraction.optimised",
    "resume_run": "agents.loop",
    "run_goal": "agents.loop",
    "steered_generate_hf": "steering.generate_hf",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
