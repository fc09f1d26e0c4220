"""Matrix products on this processor: which there are, and which is the fastest.

Nothing is assumed from the name of the processor: each candidate multiplies a small matrix once
per process, and one that is absent or slow is not taken.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Precision = Literal["fp32", "bf16", "int8", "int8x2"]

Tile = npt.NDArray[np.float32]

_TRIAL = (256, 2048, 1024)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows to multiply, in the form that a precision needs.

    Attributes:
        numbers: `(n, D)` float32, or uint16 patterns of bfloat16, or int8 codes; for 'int8x2' two
            digits, `(n, 2 D)` int8, high ones first.
        steps: `(n,)` float32 worth of one int8 code.
    """

    numbers: npt.NDArray[Any]
    steps: npt.NDArray[np.float32] | None = None

    def part(self, low: int, high: int) -> Rows:
        """Rows `low` to `high`."""
        return Rows(
            numbers=self.numbers[low:high],
            steps=None if self.steps is None else self.steps[low:high],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """One way to multiply.

    Attributes:
        name: Of the library.
        precision: Of the inputs.
        seconds: CPU-seconds for 10^9 multiplications and additions.
        pack: Rows of the gallery → what `multiply` wants.
        multiply: (rows of queries, packed gallery, `(n, m)` float32 that it may fill) → the
            product, `(n, m)` float32.
    """

    name: str
    precision: Precision
    pack: Callable[[Rows], Any]
    multiply: Callable[[Rows, Any, Tile], Tile]
    seconds: float = float("inf")


@functools.cache
def fastest_products() -> Mapping[Precision, Product]:
    """The fastest way to multiply in each precision that works here; measured once per process."""
    best: dict[Precision, Product] = {}
    generator = np.random.default_rng(0)
    queries, columns, dimensions = _TRIAL
    numbers = generator.standard_normal((queries + columns, dimensions), dtype=np.float32)
    forms: dict[Precision, npt.NDArray[Any]] = {
        "fp32": numbers,
        "bf16": (numbers.view(np.uint32) >> 16).astype(np.uint16),
        "int8": np.clip(numbers * 30, -127, 127).astype(np.int8),
    }
    forms["int8x2"] = np.concatenate([forms["int8"], forms["int8"]], axis=1)
    steps = np.ones(len(numbers), dtype=np.float32)
    out = np.empty((queries, columns), dtype=np.float32)
    for product in all_products():
        rows = Rows(
            numbers=forms[product.precision],
            steps=steps if product.precision.startswith("int8") else None,
        )
        left = rows.part(0, queries)
        try:
            packed = product.pack(rows.part(queries, len(numbers)))
            _time(product, left, packed, out)  # the first call prepares itself
            seconds = float(np.median([_time(product, left, packed, out) for _ in range(5)]))
        except (RuntimeError, AttributeError, NotImplementedError):  # not on this build of torch
            continue
        measured = Product(
            name=product.name,
            precision=product.precision,
            pack=product.pack,
            multiply=product.multiply,
            seconds=seconds / (1e-9 * queries * columns * dimensions),
        )
        known = best.get(product.precision)
        if known is None or measured.seconds < known.seconds:
            best[product.precision] = measured
    return best


def all_products() -> tuple[Product, ...]:
    """Every way to multiply that may work, without measuring."""
    return (
        *_float32_products(),
        Product(name="torch", precision="bf16", pack=_transposed, multiply=_torch_bfloat16),
        Product(name="oneDNN", precision="bf16", pack=_onednn_pack, multiply=_onednn_multiply),
        Product(name="torch", precision="int8", pack=_transposed_codes, multiply=_torch_int8),
        Product(name="torch", precision="int8x2", pack=_two_digits, multiply=_torch_two_int8),
    )


def _float32_products() -> tuple[Product, ...]:
    # The threads of numpy's library go on spinning after a product, at the cost of the counting
    # that follows. A user may have allowed torch to multiply float32 in fewer bits, though, and
    # then the bounds would not hold.
    if not _torch_keeps_float32():
        return (NUMPY,)
    return (
        Product(name="torch", precision="fp32", pack=_transposed, multiply=_torch_float32),
        Product(name="oneDNN", precision="fp32", pack=_onednn_pack, multiply=_onednn_multiply),
    )


def _time(product: Product, left: Rows, packed: Any, out: Tile) -> float:
    start = time.process_time()
    product.multiply(left, packed, out)
    return time.process_time() - start


def _torch_keeps_float32() -> bool:
    import torch

    if torch.get_float32_matmul_precision() != "highest":
        return False
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return getattr(matmul, "fp32_precision", "ieee") in ("ieee", "none")


def _numpy_pack(rows: Rows) -> Any:
    return rows.numbers.T


def _numpy_multiply(rows: Rows, packed: Any, out: Tile) -> Tile:
    return np.matmul(rows.numbers, packed, out=out)


NUMPY = Product(name="numpy", precision="fp32", pack=_numpy_pack, multiply=_numpy_multiply)
"""The product that is always there."""


def _tensor(numbers: npt.NDArray[Any]) -> Any:
    import torch

    if numbers.dtype == np.uint16:
        return torch.from_numpy(numbers.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(numbers)


def _transposed(rows: Rows) -> Any:
    return _tensor(rows.numbers).t()


def _torch_float32(rows: Rows, packed: Any, out: Tile) -> Tile:
    import torch

    torch.mm(_tensor(rows.numbers), packed, out=torch.from_numpy(out))
    return out


def _torch_bfloat16(rows: Rows, packed: Any, out: Tile) -> Tile:
    import torch

    torch.from_numpy(out).copy_(torch.mm(_tensor(rows.numbers), packed))
    return out


def _onednn_pack(rows: Rows) -> Any:
    import torch

    return torch.ops.mkldnn._reorder_linear_weight(_tensor(rows.numbers), None)


def _onednn_multiply(rows: Rows, packed: Any, out: Tile) -> Tile:
    import torch

    product = torch.ops.mkldnn._linear_pointwise(
        _tensor(rows.numbers), packed, None, "none", [], ""
    )
    if product.dtype == torch.float32:
        return np.asarray(product)
    torch.from_numpy(out).copy_(product)
    return out


def _codes(numbers: npt.NDArray[Any]) -> Any:
    # torch takes a transposed table of one column for one that is not transposed.
    numbers = np.pad(numbers, ((0, 0), (0, 1))) if numbers.shape[1] == 1 else numbers
    return _tensor(np.ascontiguousarray(numbers))


def _transposed_codes(rows: Rows) -> Any:
    return _codes(rows.numbers).t(), rows.steps


def _torch_int8(rows: Rows, packed: Any, out: Tile) -> Tile:
    import torch

    from crosslight.evaluation.arithmetic import rescale

    codes, steps = packed
    rescale(torch._int_mm(_codes(rows.numbers), codes).numpy(), rows.steps, steps, out)
    return out


def _two_digits(rows: Rows) -> Any:
    high, low = np.split(rows.numbers, 2, axis=1)
    return _codes(high).t(), _codes(np.concatenate([low, high], axis=1)).t(), rows.steps


def _torch_two_int8(rows: Rows, packed: Any, out: Tile) -> Tile:
    import torch

    from crosslight.evaluation.arithmetic import rescale_two

    high, swapped, steps = packed
    dimensions = rows.numbers.shape[1] // 2
    highs = torch._int_mm(_codes(rows.numbers[:, :dimensions]), high).numpy()
    mixed = torch._int_mm(_codes(rows.numbers), swapped).numpy()
    rescale_two(highs, mixed, rows.steps, steps, out)
    return out
