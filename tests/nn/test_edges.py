from __future__ import annotations

import pytest
import torch

from crosslight.methods.dgnet.networks import StructureEncoder
from crosslight.nn.edges import soft_edges


def test_edges_are_where_the_brightness_changes() -> None:
    gray = torch.zeros(1, 1, 8, 8)
    gray[..., 4:] = 2.0
    edges = soft_edges(gray)
    assert edges.shape == gray.shape
    flat = edges[..., [0, 1, 2, 5, 6, 7]]
    torch.testing.assert_close(flat, torch.full_like(flat, -0.5), atol=2e-3, rtol=0)
    # Both neighbours of the border rise by 2 over two pixels: 2 / (1 + 2) - 0.5.
    border = edges[..., [3, 4]]
    torch.testing.assert_close(border, torch.full_like(border, 1 / 6))
    torch.testing.assert_close(soft_edges(gray.mT), edges.mT)
    torch.testing.assert_close(soft_edges(-gray), edges)


def test_a_gradient_passes_also_where_all_is_flat() -> None:
    gray = torch.zeros(1, 1, 6, 6, requires_grad=True)
    soft_edges(gray).sum().backward()
    assert gray.grad is not None
    assert torch.isfinite(gray.grad).all()
    gray = torch.rand(1, 1, 6, 6, requires_grad=True)
    soft_edges(gray).sum().backward()
    assert gray.grad is not None
    assert gray.grad.any()


@pytest.mark.parametrize("source", ["gray", "edge", "gray+edge"])
def test_the_structure_encoder_sees_what_it_is_told(source: str) -> None:
    encoder = StructureEncoder(2, (1, 2, 3), source=source).eval()  # type: ignore[arg-type]
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        code = encoder(images)
        # A normalised code of gray hardly notices another contrast; one of edges does.
        turned = encoder(-images)
        encoder.train()
        noisy = encoder(images)
    assert code.shape == (1, 16, 8, 8)
    assert torch.allclose(code, turned, atol=1e-4) == (source == "edge")
    assert torch.equal(code, noisy) == (source == "gray"), "edges are noisy in training"
