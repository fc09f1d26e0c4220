"""The one matrix product that ranking cannot do without, in float32, by a public operator."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]

_WORTH_IMPORTING = 4e9


def multiply(queries: Rows, gallery: Rows, out: Rows, *, work: float) -> None:
    """`out[i, j]`: the inner product of query row i with gallery row j.

    Args:
        queries: `(n, D)`.
        gallery: `(m, D)`.
        out: `(n, m)`.
        work: Multiplications of the whole task; small ones do not wait for torch.
    """
    if work < _WORTH_IMPORTING or not _torch_keeps_float32():
        np.matmul(queries, gallery.T, out=out)
        return
    torch = _torch()
    # The threads of numpy's library go on spinning after a product, at the cost of the counting.
    tensor = torch.from_numpy
    torch.mm(tensor(queries), tensor(gallery).t(), out=tensor(out))


def multiply_parts(queries: Rows, gallery: Rows, out: Rows, *, work: float) -> None:
    """`out[p]`: the inner products of part p of the rows alone, as many equal parts as `out` has.

    The arguments are those of `multiply`, `out` is `(P, n, m)`.
    """
    length = -(-queries.shape[1] // len(out))
    for part, result in enumerate(out):
        columns = slice(part * length, (part + 1) * length)
        multiply(queries[:, columns], gallery[:, columns], result, work=work)


@functools.cache
def _torch() -> Any:
    import torch

    return torch


def _torch_keeps_float32() -> bool:
    # A user may have allowed torch to multiply float32 in fewer bits; the bounds would not hold.
    torch = _torch()
    if torch.get_float32_matmul_precision() != "highest":
        return False
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return getattr(matmul, "fp32_precision", "ieee") in ("ieee", "none")
