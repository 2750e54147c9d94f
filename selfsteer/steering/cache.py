"""A key-value cache that writes new tokens into room kept for them.

transformers' dynamic cache joins old and new states into a fresh tensor for every layer and
token; for small models that copying, and the page faults of the fresh memory, take most of a
decoding step. These layers hold a buffer with spare room and hand out views of it. Everything
else (masks, lengths, layers of other kinds) stays transformers' own. Keys of many short rows on a
CPU bring a faster attention with them (`one_query.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import (
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionCacheLayerMixin,
)

from selfsteer.errors import StudentError
from selfsteer.steering.model import Student
from selfsteer.steering.one_query import OneQueryKeys

# What a CPU fetches ahead stops at gaps of more than some hundred bytes. Where rows are short and
# many, that costs more than copying all states every few tokens to keep the gaps small.
_GAP_BYTES, _SHORT_BYTES, _MANY_ROWS = 256, 8192, 32


class _Buffer:
    """The states of one layer, [B, heads, length, width], with room behind them.

    Attributes:
        close: whether there is so little room that one row follows the other in memory.
    """

    def __init__(self, room: int) -> None:
        self.close = False
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
        data.narrow(2, self._stop, new).copy_(states)
        self._stop += new
        return data.narrow(2, self._start, old + new)

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; they may repeat."""
        if self._data is not None:
            used = self._data[:, :, self._start : self._stop]
            fresh = self._fresh(used, len(rows), used.shape[-2])
            fresh[:, :, : used.shape[-2]] = used.index_select(0, rows.to(used.device))
            self._data, self._start, self._stop = fresh, 0, used.shape[-2]

    def stack(self, above: Sequence[_Buffer], keep: int | None) -> None:
        """Put rows of others above these, of which they hold no more than these do.

        Rows end together: shorter ones have zeros before them. Only the last `keep` states stay.
        """
        parts = [part for each in (*above, self) if (part := each._last(keep)) is not None]
        if parts:
            length = parts[-1].shape[-2]
            rows = [len(part) for part in parts]
            fresh = self._fresh(parts[-1], sum(rows), length)
            for place, part in zip(torch.split(fresh[:, :, :length], rows), parts, strict=True):
                pads = length - part.shape[-2]
                place[:, :, :pads] = 0
                place[:, :, pads:] = part
            self._data, self._start, self._stop = fresh, 0, length

    def _last(self, keep: int | None) -> Tensor | None:
        """The last `keep` states (None: all), nothing where there are none."""
        start = self._start if keep is None else max(self._start, self._stop - keep)
        return None if self._data is None else self._data[:, :, start : self._stop]

    def _move(self, states: Tensor, old: int, new: int) -> None:
        """A buffer with room again, holding the last `old` states."""
        fresh = self._fresh(states, len(states), old + new)
        if self._data is not None:
            fresh[:, :, :old] = self._data[:, :, self._stop - old : self._stop]
        self._data, self._start, self._stop = fresh, 0, old

    def _fresh(self, like: Tensor, rows: int, length: int) -> Tensor:
        """An empty [rows, heads, length + room, width] for states like these; sets `close`."""
        _, heads, _, width = like.shape
        each = width * like.element_size()
        many, short = rows * heads >= _MANY_ROWS, length * each <= _SHORT_BYTES
        self.close = like.device.type == "cpu" and many and short
        room = min(self._room, _GAP_BYTES // each) if self.close else self._room
        return like.new_empty(rows, heads, length + room, width)


class _Buffered:
    """What both kinds of layers do with their buffers.

    Args:
        keep: how many of the states before them new tokens see; None for all.
        room: positions that are kept free.
    """

    def __init__(self, keep: int | None, room: int, **base: Any) -> None:
        super().__init__(**base)
        self._keep = keep
        self._key_buffer, self._value_buffer = _Buffer(room), _Buffer(room)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self._key_buffer.select(beam_idx)
        self._value_buffer.select(beam_idx)

    def stack(self, above: Sequence[_Buffered]) -> None:
        """Put the rows of layers that have seen no more tokens above these."""
        self._key_buffer.stack([layer._key_buffer for layer in above], self._keep)
        self._value_buffer.stack([layer._value_buffer for layer in above], self._keep)

    def crop(self, *_: Any) -> None:
        """Not here: what transformers inherits would cut `keys`, and leave the buffers.

        Raises:
            StudentError: always; likewise the three below.
        """
        raise StudentError(
            "Something asks for tokens or rows to be taken out of the cache of a generation, or "
            "repeated in it, as speculative decoding does; decode by beams, sampling or greedily."
        )

    batch_repeat_interleave = batch_select_indices = reset = crop

    def _append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        one = keys.shape[-2] == 1 and keys.dtype == torch.float32
        keys = self._key_buffer.append(keys, self._keep)
        values = self._value_buffer.append(values, self._keep)
        if one and self._key_buffer.close:
            keys = keys.as_subclass(OneQueryKeys)
        return keys, values


class _BufferedLayer(_Buffered, DynamicLayer):  # type: ignore[no-untyped-call]  # it has no types
    """Full attention: every token stays."""

    def __init__(self, room: int) -> None:
        super().__init__(None, room)

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        self.is_initialized = True
        self.keys, self.values = self._append(key_states, value_states)
        return self.keys, self.values


class _BufferedSlidingLayer(_Buffered, DynamicSlidingWindowLayer):  # type: ignore[no-untyped-call]
    """A sliding window: new tokens see the last `window - 1` before them."""

    def __init__(self, window: int, room: int) -> None:
        super().__init__(window - 1, room, sliding_window=window)

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        self.is_initialized = True
        self.cumulative_length += key_states.shape[-2]
        self.keys, self.values = self._append(key_states, value_states)
        return self.keys, self.values


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
            # Rows far apart in memory are slow to go through, so no more room than a window: it is
            # filled, and the window moved to a new beginning, as often as it takes.
            room = min(new_tokens, layer.sliding_window)
            cache.layers[index] = _BufferedSlidingLayer(layer.sliding_window, room)
    return cache


def can_be_stacked(cache: Any) -> bool:
    """Whether :func:`stacked` knows all layers of a cache."""
    return all(isinstance(layer, _Buffered) for layer in cache.layers)


def stacked(caches: Sequence[Any]) -> Any:
    """The rows of all caches below one another, in the last one; rows end together.

    Args:
        caches: the last one has seen as many tokens as any; what it is short of in the others
            counts as pads on the left, which an attention mask has to hide. The others are
            empty afterwards.
    """
    *above, last = caches
    for index, layer in enumerate(last.layers if above else ()):
        layer.stack([cache.layers[index] for cache in above])
        for cache in above:
            cache.layers[index] = None  # its room is needed for the next
    return last


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
