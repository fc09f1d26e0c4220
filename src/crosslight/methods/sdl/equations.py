"""What SDL minimises. The paper's equations are known from its figure and from the released code.

Letters: N images of both lights, K training people, D length of x, u and v. A hat, here `unit`,
is a vector brought to length 1. m is a light; v_m sees the images of its own light, or all.

    L = CE(C_x(x)) + CE(C_1(u)) + sum over m of [disentangle(x, u, v_m) + dispel(C_1(v_m))]
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from crosslight.methods.sdl.config import SDLConfig
from crosslight.methods.terms import Term
from crosslight.types import Modality

_TINY = 1e-12
LIGHTS = {Modality.VISIBLE: "visible", Modality.INFRARED: "infrared"}


def loss_id(logits: Tensor, labels: Tensor) -> Tensor:
    """CE: of C_x(x), and of C_1(u).

    Args:
        logits: (N, K).
        labels: (N,).
    """
    return F.cross_entropy(logits, labels)


def loss_disentangle(x: Tensor, u: Tensor, v: Tensor, form: str) -> Tensor:
    """The unit x is the sum of the unit u and the unit v.

    Args:
        x: (N, D), of any length, as are the others.
        u: (N, D).
        v: (N, D).
        form: `squared`: mean of |x - (u + v)|^2 (figure); `released`: the square root of its sum,
            the Frobenius norm, which grows with the batch (code). Where it is 0 so is its gradient.
    """
    squared = (unit(x) - (unit(u) + unit(v))).square().sum(dim=1)
    if form == "squared":
        return squared.mean()
    return squared.sum().clamp_min(_TINY).sqrt()


def loss_dispel(logits: Tensor, form: str) -> Tensor:
    """V does not say who somebody is.

    Args:
        logits: (N, K), C_1(v).
        form: `uniform`: -(1 / K) sum of log p, mean over images, which is ln K and has no gradient
            where logits are equal; `logits`: (1 / K) |logits - 1 / K|_F (code, in true division).
    """
    people = logits.shape[1]
    if form == "uniform":
        return -logits.log_softmax(dim=1).mean()
    squared = (logits - 1 / people).square().sum()
    return squared.clamp_min(_TINY).sqrt() / people


def unit(vectors: Tensor) -> Tensor:
    """Each row at length 1."""
    return F.normalize(vectors)


def loss_weights(config: SDLConfig) -> dict[str, float]:
    """A loss's name → its weight in the sum; one whose weight is 0 is not computed."""
    dispel = 0.0 if config.dispeller == "none" else config.dispeller_weight
    return {
        "loss_id_x": 1.0,
        "loss_id_u": config.identity_weight,
        **{f"loss_disentangle_{light}": config.disentangle_weight for light in LIGHTS.values()},
        **{f"loss_dispel_{light}": dispel for light in LIGHTS.values()},
    }


TERMS: Mapping[str, Term] = {
    "loss_id_x": Term(meaning="who is seen in x"),
    "loss_id_u": Term(meaning="who is seen in u"),
    **{
        f"loss_disentangle_{light}": Term(meaning=f"x is u plus v of {light} images")
        for light in LIGHTS.values()
    },
    **{
        f"loss_dispel_{light}": Term(meaning=f"v of {light} images does not say who it is")
        for light in LIGHTS.values()
    },
    "accuracy_x": Term(meaning="share of a batch whose person is named from x", origin="figure"),
    "accuracy_u": Term(meaning="share of a batch whose person is named from u", origin="figure"),
}
"""The paper's symbols and numbers are not known here."""
