"""Errors that are part of the interface.

Each carries one sentence that says what was wrong, where, and what would be right. The command
line prints the sentence and exits with code 2; a traceback is for bugs only.
"""

from __future__ import annotations


class SelfsteerError(Exception):
    """Base of every error that a user can cause and mend."""


class StudentError(SelfsteerError):
    """The model to be steered could not be loaded or does not fit."""


class VectorError(SelfsteerError):
    """A steering vector is unusable: wrong student, broken file, NaN or infinite values."""


class ExpressionError(SelfsteerError):
    """An expression over steering vectors does not parse, or is not a vector."""


class DatasetError(SelfsteerError):
    """A contrastive dataset is malformed or empty."""


class SelectorError(SelfsteerError):
    """A token selector does not parse or matches nothing."""


class PlanError(SelfsteerError):
    """A plan names an unknown layer or operator, or a strength that is not finite."""


class GrammarError(SelfsteerError):
    """A grammar for replies cannot be read, or the package that holds to it is missing."""


class PopulationError(SelfsteerError):
    """A population of vectors or users cannot be bred or followed with what was given."""


class MemoryFileError(SelfsteerError):
    """The database cannot be opened, read or written."""


class UserError(SelfsteerError):
    """A user is unknown, did not consent, or something observed of one cannot be taken."""


class EncoderError(SelfsteerError):
    """A sentence encoder cannot be loaded, or the package that it needs is missing."""


class ControllerError(SelfsteerError):
    """A controller is unknown, misconfigured, or returned something that cannot be used."""


class BudgetError(SelfsteerError):
    """A budget is not a positive amount, cannot be kept, or is used up."""


class ScenarioError(SelfsteerError):
    """A scenario file is invalid."""
