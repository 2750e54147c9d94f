"""Products by oneDNN: the same numbers but for rounding, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.pytorch_utils import Conv1D

from selfsteer.steering import products
from selfsteer.steering.model import Student
from selfsteer.steering.products import fast_products
from tests.steering.families import FAMILIES, family_student

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="torch was built without oneDNN"
)


class _Products(TorchDispatchMode):
    """Counts what oneDNN multiplies."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any | None = None
    ) -> Any:
        self.count += func is torch.ops.mkldnn._linear_pointwise.default
        return func(*args, **(kwargs or {}))


@pytest.fixture
def whatever_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all products were worth it."""
    monkeypatch.setattr(products, "_WEIGHTS", 0)


def _logits(student: Student) -> tuple[Tensor, int]:
    """Of some tokens, and how many products oneDNN did."""
    ids = torch.randint(5, 40, (2, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), _Products() as seen:
        logits: Tensor = student.model(input_ids=ids).logits
    return logits, seen.count


def _replaced(student: Student) -> list[nn.Module]:
    return [module for module in student.model.modules() if "forward" in vars(module)]


@pytest.mark.usefixtures("whatever_size")
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_says_the_same(name: str) -> None:
    student = family_student(name)
    calls: list[int] = []
    plain = [m for m in student.model.modules() if type(m) in (nn.Linear, Conv1D)]
    handles = [m.register_forward_hook(lambda *_: calls.append(1)) for m in plain]
    expected, none = _logits(student)
    once = len(calls)
    with fast_products(student):
        found, some = _logits(student)
    for handle in handles:
        handle.remove()
    again, _ = _logits(student)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(again, expected)
    assert none == 0
    assert some == once > 0
    assert not _replaced(student)


@pytest.mark.usefixtures("whatever_size")
def test_it_ends_with_an_error_too_and_may_be_nested() -> None:
    student = family_student("llama")
    with pytest.raises(KeyError), fast_products(student):
        before = _replaced(student)
        with fast_products(student):
            pass
        assert _replaced(student) == before != []
        raise KeyError
    assert not _replaced(student)


@pytest.mark.parametrize(
    ("width", "rows", "expected"),
    [(4096, 1, 1), (4096, 64, 1), (4096, 65, 0), (4096, 0, 0), (4095, 1, 0)],
)
def test_it_is_for_few_rows_and_many_weights(width: int, rows: int, expected: int) -> None:
    layer = nn.Linear(64, width)
    with fast_products(_with(layer)), torch.inference_mode(), _Products() as seen:
        assert layer(torch.zeros(rows, 64)).shape == (rows, width)
    assert seen.count == expected


@pytest.mark.usefixtures("whatever_size")
def test_inputs_need_not_be_contiguous() -> None:
    layer = nn.Linear(8, 12)
    states = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(1))[:, -1:]
    with torch.inference_mode():
        expected = layer(states)
        with fast_products(_with(layer)), _Products() as seen:
            found = layer(states)
    assert seen.count == 1
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("whatever_size")
def test_gradients_go_through() -> None:
    layer = nn.Linear(8, 8)
    states = torch.ones(3, 8, requires_grad=True)
    with fast_products(_with(layer)):
        layer(states).sum().backward()
    assert torch.allclose(states.grad, layer.weight.sum(0).expand(3, 8))  # type: ignore[arg-type]


@pytest.mark.usefixtures("whatever_size")
@pytest.mark.parametrize("kind", ["replaced", "wrapped", "bfloat16", "transposed"])
def test_what_is_not_plain_is_left_alone(kind: str) -> None:
    layer = nn.Linear(8, 8)
    if kind == "replaced":
        layer.forward = lambda states: states + 1  # type: ignore[method-assign]
    elif kind == "wrapped":
        layer.__class__ = type("Own", (nn.Linear,), {"forward": lambda self, states: states + 1})
    elif kind == "bfloat16":
        layer.bfloat16()
    else:
        layer.weight = nn.Parameter(layer.weight.detach().t())
    states = torch.ones(2, 8, dtype=layer.weight.dtype)
    with torch.inference_mode():
        expected = layer(states)
        with fast_products(_with(layer)), _Products() as seen:
            found = layer(states)
    assert seen.count == 0
    assert torch.equal(found, expected)


@pytest.mark.usefixtures("whatever_size")
def test_nothing_changes_where_torch_was_told_otherwise() -> None:
    layer, states = nn.Linear(8, 8), torch.ones(2, 8)
    student = _with(layer)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), fast_products(student):
        assert layer(states).dtype == torch.bfloat16
    with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=False):
        with fast_products(student), _Products() as seen:
            layer(states)
        assert seen.count == 0


@pytest.mark.usefixtures("whatever_size")
def test_hooks_of_the_layer_still_run() -> None:
    layer, seen = nn.Linear(8, 8), []
    handle = layer.register_forward_hook(lambda *_: seen.append(1))
    with fast_products(_with(layer)), torch.inference_mode():
        layer(torch.ones(2, 8))
    handle.remove()
    assert seen == [1]


def _with(layer: nn.Module) -> Student:
    """A student that has this layer besides its own."""
    student = family_student("llama")
    return Student(
        nn.ModuleList([student.model, layer]),  # type: ignore[arg-type]
        student.tokenizer,
        "tiny",
        student.layers,
    )
