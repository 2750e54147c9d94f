"""A key-value cache that writes new tokens into room kept for them.

transformers' dynamic cache joins old and new states into a fresh tensor for every layer and
token; for small models that copying, and the page faults of the fresh memory, take most of a
decoding step. These layers hold a buffer with spare room and hand out views of it. Everything
else (masks, lengths, layers of other kinds) stays transformers' own.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import (
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionCacheLayerMixin,
)

from selfsteer.errors import StudentError
from selfsteer.steering.model import Student

_SPARE = 64  # positions of room when there is no better guess


class _Buffer:
    """The states of one layer, [B, heads, length, width], with room behind them."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._data: Tensor | None = None
        self._start = 0
        self._stop = 0

    def append(self, states: Tensor, keep: int | None) -> Tensor:
        """Add the states of new tokens; returns the last `keep` old ones (None: all) and them."""
        new = states.shape[-2]
        old = self._stop - self._start
        old = old if keep is None else min(old, keep)
        if self._data is None or self._stop + new > self._data.shape[-2]:
            self._move(states, old, new)
        data = self._data
        assert data is not None
        self._start = self._stop - old
        data[:, :, self._stop : self._stop + new] = states
        self._stop += new
        return data[:, :, self._start : self._stop]

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; they may repeat."""
        if self._data is not None:
            used = self._data[:, :, self._start : self._stop]
            length = self._data.shape[-2] - self._start
            fresh = used.new_empty(len(rows), used.shape[1], length, used.shape[3])
            fresh[:, :, : used.shape[-2]] = used.index_select(0, rows.to(used.device))
            self._data, self._start, self._stop = fresh, 0, used.shape[-2]

    def _move(self, states: Tensor, old: int, new: int) -> None:
        """A buffer with room again, holding the last `old` states."""
        batch, heads, _, width = states.shape
        fresh = states.new_empty(batch, heads, old + new + self._room, width)
        if self._data is not None:
            fresh[:, :, :old] = self._data[:, :, self._stop - old : self._stop]
        self._data, self._start, self._stop = fresh, 0, old


class _BufferedLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers has no types
    """Full attention: every token stays."""

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._key_buffer, self._value_buffer = _Buffer(room), _Buffer(room)

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        self.is_initialized = True
        self.keys = self._key_buffer.append(key_states, None)
        self.values = self._value_buffer.append(value_states, None)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self._key_buffer.select(beam_idx)
        self._value_buffer.select(beam_idx)


class _BufferedSlidingLayer(DynamicSlidingWindowLayer):  # type: ignore[no-untyped-call]
    """A sliding window: new tokens see the last `window - 1` before them."""

    def __init__(self, window: int, room: int) -> None:
        super().__init__(sliding_window=window)
        self._key_buffer, self._value_buffer = _Buffer(room), _Buffer(room)

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        self.is_initialized = True
        self.cumulative_length += key_states.shape[-2]
        keep = self.sliding_window - 1
        self.keys = self._key_buffer.append(key_states, keep)
        self.values = self._value_buffer.append(value_states, keep)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self._key_buffer.select(beam_idx)
        self._value_buffer.select(beam_idx)


def decoding_cache(student: Student, new_tokens: int) -> Any:
    """An empty cache for a student that will add about `new_tokens` tokens.

    Raises:
        StudentError: a model that takes no such cache.
    """
    if student.cache_argument is None:
        raise _no_cache(student)
    cache = DynamicCache(config=student.model.config)
    for index, layer in enumerate(cache.layers):
        # Exactly these two kinds; subclasses keep further states and are left as they are.
        if type(layer) is DynamicLayer:
            cache.layers[index] = _BufferedLayer(new_tokens)
        elif type(layer) is DynamicSlidingWindowLayer:
            room = max(_SPARE, layer.sliding_window)
            cache.layers[index] = _BufferedSlidingLayer(layer.sliding_window, room)
    return cache


def check_used(student: Student, cache: Any) -> None:
    """Refuse a recurrent model that has left its state elsewhere than in the cache.

    Rows of the cache are repeated and dropped, and such a state would stay behind.

    Raises:
        StudentError: after a forward, a layer of the cache is still empty.
    """
    if student.recurrent and any(_is_empty(layer) for layer in cache.layers):
        raise _no_cache(student)


def _is_empty(layer: Any) -> bool:
    if isinstance(layer, LinearAttentionCacheLayerMixin):
        return not any(layer.has_previous_state.values())
    return isinstance(layer, DynamicLayer) and not layer.is_initialized


def _no_cache(student: Student) -> StudentError:
    return StudentError(
        f"{student.name} ({type(student.model).__name__}) keeps its state outside transformers' "
        "cache, so it cannot generate here; its activations can be read and its replies scored."
    )
