from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RecordedUpdate, at
from tests.oracles import embedding_disentangle as oracle
from torch import Tensor, nn

from crosslight.config import build
from crosslight.errors import CheckpointError, ConfigError
from crosslight.methods.bdtr import BDTR
from crosslight.methods.contract import stages_to_train
from crosslight.methods.cross_modal_triplets import draw_negatives, draw_positives, hardest
from crosslight.methods.embedding_disentangle import (
    EmbeddingDisentangle,
    EmbeddingDisentangleConfig,
)
from crosslight.methods.embedding_disentangle.networks import Classifier, Decoder, Encoder
from crosslight.training.given_stages import take_given

LABELS = [0, 0, 1, 1, 2, 2] * 2
MODALITY = [0] * 6 + [1] * 6
SMALL = dict(EmbeddingDisentangle.small)


def _method(**overrides: Any) -> EmbeddingDisentangle:
    config = build(EmbeddingDisentangleConfig, {**SMALL, **overrides}, where="test")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return EmbeddingDisentangle(config, num_ids=4, height=64, width=32)


def _embeddings() -> Tensor:
    return torch.randn(12, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def _only(name: str, **overrides: Any) -> EmbeddingDisentangle:
    weights = dict.fromkeys(("simple", "cross", "dis", "triplet"), 0.0) | {name: 1.0}
    chosen = {f"{loss}_weight": weight for loss, weight in weights.items()}
    return _method(**chosen, **overrides).double()


def _slow(
    method: EmbeddingDisentangle, name: str, x: Tensor, positive: Tensor, negative: Tensor
) -> Tensor:
    """The oracle, sample by sample through the method's own networks."""

    def parts(encoders: nn.Module) -> Tensor:
        rows = [encoders.networks[k](x[i : i + 1]) for i, k in enumerate(MODALITY)]  # type: ignore[union-attr,index,operator]
        return torch.cat(rows)

    def decode(light: int, s: Tensor, m: Tensor) -> Tensor:
        decoder = method.decoder.networks[light]
        return decoder(s=s[None], m=m[None])[0]  # type: ignore[no-any-return]

    def posterior(embedding: Tensor) -> Tensor:
        scores: Tensor = method.classifier(embedding[None])[0]
        return torch.exp(scores) / torch.exp(scores).sum()

    s, m = parts(method.s_encoder), parts(method.m_encoder)
    norm, margin = method.config.norm, method.config.margin
    if name == "simple":
        return oracle.simple(x, s, m, MODALITY, decode, norm)
    if name == "cross":
        return oracle.cross(x, s, m, MODALITY, positive.tolist(), decode, norm)
    if name == "dis":
        return oracle.dis(s, m, LABELS, MODALITY, negative.tolist(), decode, posterior)
    if method.config.triplet == "hard":
        return oracle.triplet(s, *oracle.hardest(s, LABELS, MODALITY, norm), margin, norm)
    return oracle.triplet(s, positive.tolist(), negative.tolist(), margin, norm)


@pytest.mark.parametrize(
    ("name", "triplet"),
    [
        ("simple", "hard"),
        ("cross", "hard"),
        ("dis", "hard"),
        ("triplet", "random"),
        ("triplet", "hard"),
    ],
)
@pytest.mark.parametrize("norm", ["l1", "l2", "mean"])
def test_value_and_gradient_agree_with_the_slides(name: str, triplet: str, norm: str) -> None:
    method = _only(name, triplet=triplet, norm=norm)
    labels, modality, x = torch.tensor(LABELS), torch.tensor(MODALITY), _embeddings()
    trained = [
        p
        for part in (method.s_encoder, method.m_encoder, method.decoder)
        for p in part.parameters()
    ]
    results = []
    for slow in (False, True):
        with torch.random.fork_rng():
            torch.manual_seed(8)
            if slow:
                positive = draw_positives(labels, modality)
                negative = draw_negatives(labels, modality)
                loss = _slow(method, name, x, positive, negative)
            else:
                losses = method.losses(x, labels, modality)
                assert losses.keys() == {f"loss_{name}"}
                loss = losses[f"loss_{name}"]
        results.append((loss.detach(), torch.autograd.grad(loss, trained, allow_unused=True)))
    torch.testing.assert_close(results[0][0], results[1][0])
    assert results[0][0] > 0
    for ours, theirs in zip(results[0][1], results[1][1], strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-12)


def test_l_dis_moves_the_codes_and_not_the_classifier() -> None:
    method = _only("dis")
    losses = method.losses(_embeddings(), torch.tensor(LABELS), torch.tensor(MODALITY))
    losses["loss_dis"].backward()
    assert all(p.grad is None for p in method.classifier.parameters())
    assert all(p.grad is not None for p in method.s_encoder.parameters())
    assert all(p.requires_grad for p in method.classifier.parameters())


def test_layers_are_those_of_the_table() -> None:
    def widths(network: nn.Module) -> list[tuple[int, int]]:
        linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        return [(layer.in_features, layer.out_features) for layer in linear]

    assert EmbeddingDisentangleConfig().code == 256
    with torch.device("meta"):
        encoder, decoder, classifier = (
            Encoder(512, 256),
            Decoder(256, 512),
            Classifier(512, 395, 512),
        )
    assert widths(encoder) == [(512, 1024), (1024, 2048), (2048, 512), (512, 256)]
    branch = [(256, 512), (512, 2048), (2048, 512)]
    assert widths(decoder.from_s) == widths(decoder.from_m) == branch
    assert widths(classifier) == [(512, 512), (512, 395)]
    for ends_in_relu in (encoder, decoder.from_s, decoder.from_m):
        kinds = [type(layer) for layer in ends_in_relu]
        assert kinds == [nn.Linear, nn.ReLU] * (len(kinds) // 2)
    assert [type(layer) for layer in classifier] == [nn.Linear, nn.ReLU, nn.Linear]


def test_decoder_is_the_sum_of_its_branches_and_knows_s_from_m() -> None:
    decoder = Decoder(8, 16, (12,), output="linear")
    s, m = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(decoder(s=s, m=m), decoder.from_s(s) + decoder.from_m(m))
    assert not torch.allclose(decoder(s=s, m=m), decoder(s=m, m=s))
    assert (decoder(s=s, m=m) < 0).any()
    assert not (Decoder(8, 16, (12,))(s=s, m=m) < 0).any()
    with pytest.raises(TypeError):
        decoder(s, m)


def test_each_modality_has_networks_of_its_own() -> None:
    method = _method()
    for network in (method.s_encoder, method.m_encoder, method.decoder):
        first, second = (list(part.parameters()) for part in network.networks)
        assert not any(torch.equal(p, q) for p, q in zip(first, second, strict=True) if p.ndim > 1)


def test_drawn_triplets_are_across_light_and_hard_ones_are_extreme() -> None:
    labels, modality = torch.tensor(LABELS), torch.tensor(MODALITY)
    seen = set()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(50):
            positive = draw_positives(labels, modality)
            negative = draw_negatives(labels, modality)
            seen.add(int(negative[0]))
            assert torch.equal(labels[positive], labels)
            assert (labels[negative] != labels).all()
            assert (modality[positive] != modality).all()
            assert (modality[negative] != modality).all()
    assert seen == {8, 9, 10, 11}
    s = torch.randn(12, 4, generator=torch.Generator().manual_seed(2))
    for norm, order in (("l1", 1), ("l2", 2)):
        found = [index.tolist() for index in hardest(torch.cdist(s, s, p=order), labels, modality)]
        assert found == list(oracle.hardest(s, LABELS, MODALITY, norm))


@pytest.mark.parametrize(("labels", "modality"), [([0, 0, 1, 1], [0, 0, 1, 1]), ([0, 0], [0, 1])])
def test_a_batch_without_partners_is_explained(labels: list[int], modality: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"data\.sampling to cross-modal"):
        _method().losses(torch.zeros(len(labels), 32), torch.tensor(labels), torch.tensor(modality))


@pytest.mark.parametrize("stage", ["classifier", "disentangle"])
def test_the_frozen_network_stays_as_it_is_bit_for_bit(stage: str, make_batch: MakeBatch) -> None:
    """Its batch norms too, also where images come in place of stored embeddings."""
    method = _method().train()
    before = {name: value.clone() for name, value in method.bdtr.state_dict().items()}
    method.training_step(make_batch(), RecordedUpdate(method, stage=stage))
    assert all(torch.equal(before[name], v) for name, v in method.bdtr.state_dict().items())
    assert all(p.grad is None for p in method.bdtr.parameters())
    assert method.bdtr.training


def test_given_weights_replace_the_first_stage(tmp_path: Path, make_batch: MakeBatch) -> None:
    """From a run of BDTR alone, or from one of this method."""
    whole = _method()
    bdtr: BDTR = whole.bdtr
    save_file(bdtr.state_dict(), tmp_path / "bdtr.safetensors")
    save_file(whole.state_dict(), tmp_path / "whole.safetensors")
    batch = make_batch()
    embeddings = bdtr.eval().embed(batch.images, batch.modality)
    expected = embeddings / embeddings.norm(dim=1, keepdim=True) * SMALL["bdtr"]["dim"] ** 0.5
    for file in ("bdtr.safetensors", "whole.safetensors"):
        method = _method(bdtr_weights=str(tmp_path / file))
        take_given(method)
        assert [stage.name for stage in stages_to_train(method)] == ["classifier", "disentangle"]
        assert set(method.optimizers()) == {"classifier", "codes"}
        assert not any(p.requires_grad for p in method.bdtr.parameters())
        found = method.eval().codes(batch.images, batch.modality)
        torch.testing.assert_close(found["bdtr"], expected)
        torch.testing.assert_close(found["s"], method.embed(batch.images, batch.modality))
    thin = {**SMALL["bdtr"], "dim": 8}
    other = _method(bdtr_weights=str(tmp_path / "bdtr.safetensors"), bdtr=thin)
    with pytest.raises(CheckpointError, match="of stage bdtr does not fit"):
        take_given(other)


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("bdtr", {}),
        ("classifier", {}),
        ("disentangle", {"norm": "l2", "triplet": "hard"}),
        ("disentangle", {"norm": "l1", "triplet": "random", "decoder_output": "linear"}),
    ],
)
def test_iterations_agree_with_the_slides(
    stage: str, changes: dict[str, Any], make_batch: MakeBatch
) -> None:
    bdtr = {"dropout": 0.3, "intra_margin": 1.3, "intra_weight": 0.3, "lr": 0.05}
    method = scrambled(
        _method(
            **{
                "bdtr": {**SMALL["bdtr"], **bdtr},
                "simple_weight": 0.7,
                "cross_weight": 1.9,
                "dis_weight": 1.3,
                "triplet_weight": 0.4,
                "margin": 0.9,
                "lr": 2e-3,
                "lr_fall": 0.5,
                **changes,
            }
        )
    )
    places = [at(method, stage=stage, iteration=i, iterations=20) for i in (9, 10, 11)]
    plain = oracle.PlainEmbeddings(method.state_dict(), method.config)
    assert_iterations_agree(method, plain, mirrored(make_batch(), 3), places=places)
