"""Pocket: the small bundled student, its corpus, its training and its weights."""

from __future__ import annotations

from selfsteer.pocket.weights import weights_path

__all__ = ["weights_path"]
