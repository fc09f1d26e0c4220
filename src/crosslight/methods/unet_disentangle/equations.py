"""What Approach 0 minimises, in the slides' order.

Letters: B batch, S length of the identity part. X1 is an anchor, X2 its person and X3 somebody
else, both in the other modality; every image is the anchor of a triplet. D_k(S_a, M_b) is the
decoder of modality k, that of image b; S'_a and M'_b are parts of an image that was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from crosslight.methods.terms import Term


def loss_recon(rebuilt: Tensor, images: Tensor) -> Tensor:
    """||X - D(S, M)||^2 of X1, X2 and X3: each image plays the three of them."""
    return 3 * F.mse_loss(rebuilt, images)


def loss_cross(crossed: Tensor, images: Tensor) -> Tensor:
    """||X1 - D_1(S2, M1)||^2 + ||X2 - D_2(S1, M2)||^2."""
    return 2 * F.mse_loss(crossed, images)


def loss_triplet(f: Tensor, positive: Tensor, negative: Tensor, *, margin: float) -> Tensor:
    """Mean of max(0, m + ||f(X1) - f(X2)||^2 - ||f(X1) - f(X3)||^2).

    Args:
        f: (B, S) of length 1.
        positive: (B,) row of the same person in the other light.
        negative: (B,) row of somebody else in the other light.
        margin: m.
    """
    to_positive = (f - f[positive]).square().sum(dim=1)
    to_negative = (f - f[negative]).square().sum(dim=1)
    return F.relu(margin + to_positive - to_negative).mean()


def loss_cycle(cycled: Tensor, images: Tensor) -> Tensor:
    """||X1 - D_1(S'1, M'1)||^2 + ||X2 - D_2(S'2, M'2)||^2, which the slides strike out.

    Both crossed images are taken apart, and their S exchanged back.
    """
    return 2 * F.mse_loss(cycled, images)


TERMS: Mapping[str, Term] = {
    "loss_recon": Term(meaning="images from their own S and M"),
    "loss_cross": Term(meaning="images from the S of their person in the other light"),
    "loss_triplet": Term(meaning="S near that of the person, far from somebody else's"),
    "loss_cycle": Term(meaning="crossed images taken apart and crossed back"),
}
"""The slides number no equations and give these no symbols."""
