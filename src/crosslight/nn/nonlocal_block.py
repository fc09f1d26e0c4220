"""The non-local block, and its places in a residual layer."""

from __future__ import annotations

from torch import Tensor, nn


class NonLocal(nn.Module):
    """Adds to each place of the map what every other place holds (Wang et al., CVPR 2018).

    The dot-product form as AGW uses it: affinities divided by the number of places N instead of
    a softmax, and a batch normalisation that starts at zero, so that the block starts as the
    identity.

    Args:
        channels: C of the map.
        width: Channels inside; None: half of C, as that paper has it.
    """

    def __init__(self, channels: int, width: int | None) -> None:
        super().__init__()
        inner = channels // 2 if width is None else width
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h, w)."""
        B, _, h, w = maps.shape
        theta, phi, g = (layer(maps).flatten(2) for layer in (self.theta, self.phi, self.g))
        # theta' phi g' / N with the small product first where that is the cheaper order.
        if theta.shape[1] < h * w:
            mixed = theta.transpose(1, 2) @ (phi @ g.transpose(1, 2) / (h * w))
        else:
            mixed = (theta.transpose(1, 2) @ phi / (h * w)) @ g.transpose(1, 2)
        mixed = mixed.transpose(1, 2).reshape(B, -1, h, w)
        added: Tensor = self.norm(self.out(mixed))
        return maps + added


def with_non_local(
    layer: nn.Sequential, channels: int, count: int, width: int | None
) -> nn.Sequential:
    """The residual layer with a non-local block after each of its last `count` blocks."""
    blocks = list(layer.children())
    modules: list[nn.Module] = []
    for index, block in enumerate(blocks):
        modules.append(block)
        if index >= len(blocks) - count:
            modules.append(NonLocal(channels, width))
    return nn.Sequential(*modules)
