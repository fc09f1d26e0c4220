from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import crosslight.data.torchvision_build  # noqa: F401

# isort: split
import timm
from torchvision.models import resnet18

from crosslight.errors import CheckpointError, ConfigError
from crosslight.files import sha256_of
from crosslight.nn.backbones import LIGHT_BACKBONES, create_backbone
from crosslight.nn.two_stream import split_backbone
from crosslight.nn.weights import initial_weights_left_out

IMAGES = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [*LIGHT_BACKBONES, "resnet18", "resnet14t", "resnetblur50"])
def test_last_stride_doubles_the_map_and_keeps_the_weights(name: str) -> None:
    coarse = create_backbone(name, last_stride=2).eval()
    fine = create_backbone(name, last_stride=1).eval()
    assert coarse(IMAGES).shape == (2, coarse.channels, 2, 1)
    assert fine(IMAGES).shape == (2, fine.channels, 4, 2)
    assert {k: v.shape for k, v in coarse.state_dict().items()} == {
        k: v.shape for k, v in fine.state_dict().items()
    }
    assert all(m.dilation == (1, 1) for m in fine.modules() if isinstance(m, nn.Conv2d)), (
        "last stride 1 must not dilate"
    )


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("vit_tiny_patch16_224", (4, 2)),
        ("test_vit2", (4, 2)),
        ("convnext_atto", (2, 1)),
        ("mobilenetv3_small_050", (2, 1)),
    ],
)
def test_other_families_give_a_map_in_reading_order(name: str, grid: tuple[int, int]) -> None:
    backbone = create_backbone(name, image_size=(64, 32)).eval()
    assert backbone(IMAGES).shape == (2, backbone.channels, *grid)


def test_channels_last_models_are_turned() -> None:
    backbone = create_backbone("swin_tiny_patch4_window7_224", image_size=(64, 64)).eval()
    assert backbone(torch.rand(1, 3, 64, 64)).shape == (1, 768, 2, 2)


def test_unknown_backbone_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'resnet50'"):
        create_backbone("resnett50")
    with pytest.raises(ConfigError, match="did you mean 'resnet18-half'"):
        create_backbone("resnet18_half")


def test_a_gray_image_in_one_of_two_channels_is_seen_as_in_three(tmp_path: Path) -> None:
    path = tmp_path / "r18.pth"
    source = timm.create_model("resnet18")
    torch.save(source.state_dict(), path)
    network = create_backbone("resnet18", weights=str(path), in_channels=2).network
    gray = torch.rand(2, 1, 32, 16, generator=torch.Generator().manual_seed(0))
    seen = source.conv1(gray.expand(-1, 3, -1, -1))
    for padded in ((gray, 0 * gray), (0 * gray, gray)):
        found = network.conv1(torch.cat(padded, dim=1))  # type: ignore[operator]
        torch.testing.assert_close(found, seen)


def test_channels_beyond_three_are_their_mean_and_the_three_stay() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = create_backbone("resnet10-quarter")
        torch.manual_seed(0)
        wide = create_backbone("resnet10-quarter", in_channels=4)
    before, after = (backbone.network.conv1[0].weight for backbone in (plain, wide))  # type: ignore[index, union-attr]
    assert torch.equal(after[:, :3], before)
    torch.testing.assert_close(after[:, 3], before.mean(dim=1))
    assert wide.mean[:3] == plain.mean
    assert wide.mean[3] == pytest.approx(sum(plain.mean) / 3)
    assert wide.std[3] == pytest.approx(sum(plain.std) / 3)


def test_the_names_of_torchvision_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    source = resnet18().state_dict()
    torch.save(source, path)
    loaded = create_backbone("resnet18.tv_in1k", weights=str(path)).network.state_dict()
    assert source.keys() - loaded.keys() == {"fc.weight", "fc.bias"}
    for key, value in loaded.items():
        assert torch.equal(value, source[key]), key


@pytest.mark.parametrize("name", ["resnet18", "resnet18-half"])
def test_local_file_is_loaded_with_its_classifier_dropped(tmp_path: Path, name: str) -> None:
    source = create_backbone(name)
    state = dict(source.network.state_dict())
    state["fc.weight"] = torch.zeros(10, source.channels)
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    loaded = create_backbone(name, weights=str(path), sha256=sha256_of(path))
    for key, value in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    other = "resnet14t" if name == "resnet18" else "resnet10-half"
    with pytest.raises(CheckpointError, match="does not fit the network"):
        create_backbone(other, weights=str(path))


def test_vit_file_is_brought_to_the_image_size(tmp_path: Path) -> None:
    path = tmp_path / "vit.pth"
    torch.save(timm.create_model("vit_tiny_patch16_224").state_dict(), path)
    backbone = create_backbone("vit_tiny_patch16_224", weights=str(path), image_size=(64, 32))
    assert backbone.eval()(IMAGES).shape == (2, 192, 4, 2)


def test_unreachable_timm_weights_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def offline(name: str, *, pretrained: bool = False, **rest: object) -> nn.Module:
        if pretrained:
            raise OSError("Name or service not known\nand a long story")
        return create(name, **rest)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(CheckpointError, match=r"could not be fetched \(Name or service") as caught:
        create_backbone("resnet18", weights="timm")
    assert "give its path as weights" in str(caught.value)
    assert "\n" not in str(caught.value)
    with initial_weights_left_out():
        create_backbone("resnet18", weights="timm")
        create_backbone("resnet18", weights="nowhere.pth")
    with pytest.raises(CheckpointError, match="could not be fetched"):
        create_backbone("resnet18", weights="timm")


@pytest.mark.parametrize("name", ["resnet18-half", "resnetblur18"])
def test_backbone_without_published_weights_says_so(name: str) -> None:
    with pytest.raises(ConfigError, match="has no published weights"):
        create_backbone(name, weights="timm")


def test_digest_without_a_file_is_a_contradiction() -> None:
    with pytest.raises(ConfigError, match="sha256 is given, but weights is none"):
        create_backbone("resnet18-half", sha256="ab" * 32)


def test_split_network_is_the_whole_one_while_the_stems_are_equal() -> None:
    backbone = create_backbone("resnet10-quarter").eval()
    expected = backbone(IMAGES)
    split = split_backbone(backbone, non_local=(0, 2, 3, 0)).eval()
    for modality in ([0, 0], [1, 1], [1, 0]):
        torch.testing.assert_close(split(IMAGES, torch.tensor(modality)), expected)


def test_each_modality_has_its_own_stem_and_rows_keep_their_order() -> None:
    split = split_backbone(create_backbone("resnet10-quarter")).eval()
    with torch.no_grad():
        split.stems[1][0][0].weight.neg_()  # type: ignore[index, union-attr, operator]
    images = torch.rand(5, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    modality = torch.tensor([1, 0, 1, 1, 0])
    together = split(images, modality)
    for i in range(5):
        alone = split(images[i : i + 1], modality[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, split(images, 1 - modality), atol=1e-3)


def test_gradient_stays_within_the_stem_of_its_modality() -> None:
    split = split_backbone(create_backbone("resnet10-quarter"))
    split(IMAGES, torch.tensor([1, 1])).sum().backward()
    assert all(p.grad is None for p in split.stems[0].parameters())
    assert all(p.grad is not None for p in split.stems[1].parameters())


def test_other_families_cannot_be_split() -> None:
    with pytest.raises(ConfigError, match="cannot be split into two streams; use one of"):
        split_backbone(create_backbone("convnext_atto"))
