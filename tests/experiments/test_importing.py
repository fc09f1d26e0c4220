"""What a method of ours would have been saved as by the original program comes back the same.

Of AGW, Hi-CMD and cmPIG `tests.released.test_outputs` shows more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import crosslight as cl
from crosslight.config import Recipe, load_recipe
from crosslight.errors import CheckpointError, ConfigError
from crosslight.experiments import importing
from crosslight.experiments.importing import import_files, import_released
from crosslight.experiments.options import Probing
from crosslight.experiments.probing import _Probe
from crosslight.methods.contract import Method, Swaps, Translates
from crosslight.nn.backbones import LIGHT_BACKBONES, LightResNet
from crosslight.registry import method_class
from crosslight.released.files import read_networks
from crosslight.released.systems import SYSTEMS
from crosslight.training.run import bare_method
from tests.released.originals import renamed_back

PEOPLE = 6
SMALL: Mapping[str, Mapping[str, Any]] = {
    # As deep as the published ones where the names count blocks.
    "agw": {"backbone": "thin-resnet34", "weights": "none"},
    "d2rl": {"blocks": 4, "critic_layers": 4, "infrared_channels": 3},
    "cmpig": {"critic_layers": 4, "critic_scales": 1},
    "hicmd": {"structure_width": 2},
}
CONSTANT = ("normalize.", "pool.", "teacher_counts", "illumination_running_mean")


@pytest.fixture(autouse=True)
def thin_resnet(monkeypatch: pytest.MonkeyPatch) -> None:
    thin = LightResNet(blocks=(3, 4, 6, 3), channels=(4, 8, 8, 16), stem=4)
    monkeypatch.setitem(LIGHT_BACKBONES, "thin-resnet34", thin)


def overrides(system: str) -> list[str]:
    small = dict(method_class(SYSTEMS[system].method).small) if system != "agw" else {}
    small |= SMALL.get(system, {})
    texts = [f"config.{key}={json.dumps(value)}" for key, value in small.items()]
    return [*texts, "data.height=64", "data.width=32"]


@cache
def trained(system: str) -> tuple[Recipe, Method]:
    """Stands for a trained network: nothing of it is at its start."""
    recipe = load_recipe(next(iter(SYSTEMS[system].recipes.values())), overrides(system))
    method = bare_method(recipe, num_ids=PEOPLE)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in method.state_dict().items():
            if name.startswith(CONSTANT) or not tensor.is_floating_point():
                continue
            drawn = torch.rand(tensor.shape, generator=generator)
            scale = tensor.numel() ** -0.25
            tensor.copy_(0.5 + drawn if "var" in name else scale * (drawn - 0.4))
    return recipe, method.eval()


def originals(system: str, method: Method) -> dict[str, Any]:
    """Beginning of a file's name → what the original program would have saved."""
    files: dict[str, Any] = renamed_back(system, method.state_dict())
    if system == "agw":
        _with_bias(files["sysu_best"]["net"])
    for networks in files.values():
        for weights in networks.values():
            for name in [n for n in weights if n == "mod_spec_enc.model.6.weight"]:
                weights[name] = weights[name][..., None, None]
    return {file: networks.get("", networks) for file, networks in files.items()}


def _with_bias(weights: dict[str, Tensor]) -> None:
    for name in [n for n in weights if n.endswith("W.1.running_mean")]:
        bias = torch.linspace(-1, 1, len(weights[name]))
        weights[name] = weights[name] + bias
        weights[name.replace("1.running_mean", "0.bias")] = bias


def saved(folder: Path, files: Mapping[str, Any]) -> list[Path]:
    for file, content in files.items():
        torch.save(content, folder / f"{file}_1.pt")
    return [folder / f"{file}_1.pt" for file in files]


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("system", ["bdtr", "d2rl", "dgnet", "proposed-2020"])
def test_a_network_comes_back_from_its_original_names(
    system: str, tmp_path: Path, images: Tensor
) -> None:
    _, method = trained(system)
    files = saved(tmp_path, originals(system, method))
    run = import_released(system, files, tmp_path / "run", overrides=overrides(system))
    again, light = run.method, torch.tensor([0, 1])
    exact = {"rtol": 0, "atol": 0}
    with torch.inference_mode():
        if system == "d2rl":
            assert isinstance(again, Translates)
            assert isinstance(method, Translates)
            for source, target in ((0, 1), (1, 0)):
                drawn = again.translate(images, source, target)
                assert drawn.std() > 1e-3
                torch.testing.assert_close(drawn, method.translate(images, source, target), **exact)
            return
        embedded = again.embed(images, light)
        assert embedded.std() > 1e-3
        torch.testing.assert_close(embedded, method.embed(images, light), **exact)
        if isinstance(method, Swaps):
            assert isinstance(again, Swaps)
            swapped = again.swap(images, images.flip(0))
            assert swapped.std() > 1e-3
            torch.testing.assert_close(swapped, method.swap(images, images.flip(0)), **exact)


def test_shapes_give_the_configuration_and_the_people(tmp_path: Path) -> None:
    recipe, method = trained("dgnet")
    files = saved(tmp_path, originals("dgnet", method))
    given = [text for text in overrides("dgnet") if "dim" not in text and "width" not in text]
    run = import_released("dgnet", files, tmp_path / "run", overrides=[*given, "data.width=32"])
    assert (run.recipe.config.dim, run.recipe.config.adain_width) == (32, 16)
    assert (run.recipe.config.structure_width, run.recipe.config.critic_width) == (4, 4)
    assert run.recipe.data.interpolation == recipe.data.interpolation == "bicubic"
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert (card["system"], card["people"], card["untrained"]) == ("dgnet", PEOPLE, {})
    assert sorted(file["name"] for file in card["files"]) == sorted(file.name for file in files)


def test_what_no_file_fills_is_named_and_nothing_is_made_of_it(
    tmp_path: Path, images: Tensor
) -> None:
    _, method = trained("dgnet")
    files = saved(tmp_path, originals("dgnet", method))
    needed = [file for file in files if file.name.startswith(("gen", "id"))]
    found = import_files("dgnet", needed, tmp_path / "run", overrides=overrides("dgnet"))
    assert set(found.untrained) == {"critic.", "teacher."}
    run = cl.load_run(tmp_path / "run")
    assert {"appearance", "structure"} <= run.codes(images).keys()
    assert "teacher" not in run.codes(images)
    with pytest.raises(CheckpointError, match="not trained for code teacher"):
        run.evaluate("sysu-mm01:nowhere", code="teacher")

    _, study = trained("proposed-2020")
    (generator,) = (
        file
        for file in saved(tmp_path, originals("proposed-2020", study))
        if file.name.startswith("gen")
    )
    run = import_released(
        "proposed-2020", [generator], tmp_path / "study", overrides=overrides("proposed-2020")
    )
    assert run.embed(images).shape[0] == len(images)
    with pytest.raises(CheckpointError, match="not trained for swapping"):
        run.swap(appearance=images, structure=images)


@pytest.mark.parametrize(
    ("system", "able", "unable", "unprobed"),
    [
        ("d2rl", "translate", "embed", {"leakage": "never trained to embed"}),
        ("cmpig", "embed", "translate", {"translations": "does not translate"}),
    ],
)
def test_what_a_program_does_not_save_is_not_asked_of_its_weights(
    tmp_path: Path,
    images: Tensor,
    system: str,
    able: str,
    unable: str,
    unprobed: dict[str, str],
) -> None:
    _, method = trained(system)
    files = saved(tmp_path, originals(system, method))
    run = import_released(system, files, tmp_path / "run", overrides=overrides(system))
    calls = {
        "embed": lambda: run.embed(images),
        "translate": lambda: run.translate(images, to="infrared"),
    }
    calls[able]()
    with pytest.raises(CheckpointError, match="not trained for"):
        calls[unable]()
    probe = _Probe(run, "sysu-mm01", tmp_path, Probing(), {}, tmp_path, lambda _: None)
    for part, why in unprobed.items():
        assert why in str(probe.lacks(part))


def test_the_rectifier_of_unit_is_plain_and_its_yaml_may_say_otherwise(tmp_path: Path) -> None:
    _, method = trained("d2rl")
    files = saved(tmp_path, originals("d2rl", method))
    (tmp_path / "leaky.yaml").write_text("gen: {activ: lrelu}")
    small = overrides("d2rl")
    plain = import_files("d2rl", files, tmp_path / "plain", overrides=small)
    leaky = import_files("d2rl", [*files, tmp_path / "leaky.yaml"], tmp_path / "l", overrides=small)
    assert (plain.recipe.config.slope, leaky.recipe.config.slope) == (0.0, 0.2)
    (tmp_path / "leaky.yaml").write_text("gen: {activ: selu}")
    with pytest.raises(ConfigError, match=r"gen\.activ: selu"):
        import_files("d2rl", [*files, tmp_path / "leaky.yaml"], tmp_path / "s", overrides=small)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pool: avg", "pool: avg, but DG-Net here knows only pool: max"),
        ("ID_stride: 2\n", None),
        ("nclasses: 751", "teacher has a last stride of 2"),
        ("[1, 2]", "holds no keys"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_the_yaml_of_a_dgnet_is_heard(tmp_path: Path, text: str, said: str | None) -> None:
    _, method = trained("dgnet")
    files = saved(tmp_path, originals("dgnet", method))
    (tmp_path / "config.yaml").write_text(text)
    files.append(tmp_path / "config.yaml")
    if said is None:
        found = import_files("dgnet", files, tmp_path / "run", overrides=overrides("dgnet"))
        assert found.recipe.config.last_stride == 2
        return
    with pytest.raises(ConfigError, match=said):
        import_files("dgnet", files, tmp_path / "run", overrides=overrides("dgnet"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # As the program dumps it: of everything, and of Python's own kinds.
        (
            "G_act: lrelu\nG_w_lrelu: 0.2\nD_w_lrelu: 0.2\nh: 64\nw: 32\nstride: 1\n"
            "droprate: 0.4\nphase_exp: !!python/tuple [train, test]\n"
            "device: !!python/object/apply:os.getcwd []\n",
            None,
        ),
        ("G_act: relu", "G_act: relu, but Hi-CMD here knows only G_act: lrelu"),
        ("G_w_lrelu: 0.2\nD_w_lrelu: 0.3", "D_w_lrelu: 0.3, but .* only D_w_lrelu: 0.2"),
        ("att_pose_ratio: 0.25", "att_pose_ratio: 0.25, but"),
    ],
)
def test_the_options_of_a_hicmd_are_heard(tmp_path: Path, text: str, said: str | None) -> None:
    _, method = trained("hicmd")
    files = saved(tmp_path, originals("hicmd", method))
    (tmp_path / "opts.yaml").write_text(text)
    files.append(tmp_path / "opts.yaml")
    small = [one for one in overrides("hicmd") if not one.startswith("data.")]
    if said is not None:
        with pytest.raises(ConfigError, match=said):
            import_files("hicmd", files, tmp_path / "run", overrides=small)
        return
    recipe = import_files("hicmd", files, tmp_path / "run", overrides=small).recipe
    config = recipe.config
    assert (config.slope, config.last_stride, config.dropout) == (0.2, 1, 0.4)
    assert (recipe.data.height, recipe.data.width) == (64, 32)


def test_an_import_that_is_cut_off_leaves_nothing_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, method = trained("hicmd")
    (tmp_path / "files").mkdir()
    files, out = saved(tmp_path / "files", originals("hicmd", method)), tmp_path / "run"

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(importing, "write_text", cut)  # of the card, which is written last
        with pytest.raises(KeyboardInterrupt):
            import_files("hicmd", files, out, overrides=overrides("hicmd"))
    assert [path.name for path in tmp_path.iterdir()] == ["files"]
    import_files("hicmd", files, out, overrides=overrides("hicmd"))
    assert {"card.json", "config.yaml", "model.safetensors"} == {p.name for p in out.iterdir()}


def test_non_local_layers_are_left_out_and_at_work_they_are_warned_about(tmp_path: Path) -> None:
    _, method = trained("dgnet")
    files = originals("dgnet", method)
    layer = "dec.model.1.model.0.nonloc."
    files["gen"]["a"] |= {f"{layer}gamma": torch.zeros(1), f"{layer}key_conv.bias": torch.ones(2)}
    paths = saved(tmp_path, files)
    found = import_files("dgnet", paths, tmp_path / "idle", overrides=overrides("dgnet"))
    assert f"{layer}gamma" in [name for names in found.left_out.values() for name in names]
    assert not found.warnings
    files["gen"]["a"][f"{layer}gamma"] = torch.tensor([0.1])
    saved(tmp_path, files)
    found = import_files("dgnet", paths, tmp_path / "busy", overrides=overrides("dgnet"))
    assert "are at work" in found.warnings[0]


def _refused(system: str, files: list[Path], tmp_path: Path) -> str:
    out = tmp_path / "refused"
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        import_files(system, files, out, overrides=overrides(system))
    assert not out.exists()
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_wrong_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    _, method = trained("dgnet")
    content = originals("dgnet", method)
    files = {path.name.split("_1")[0]: path for path in saved(tmp_path, content)}

    assert "no file of agw (it fits dgnet" in _refused("agw", [files["gen"]], tmp_path)
    assert "give it too: crosslight import dgnet gen_" in _refused(
        "dgnet", [files["gen"], files["dis"]], tmp_path
    )
    torch.save(content["dis"], tmp_path / "copy.pt")
    said = _refused("dgnet", [files["dis"], tmp_path / "copy.pt"], tmp_path)
    assert "both hold the critic" in said
    assert "is a folder; give the program's files" in _refused("dgnet", [tmp_path], tmp_path)
    assert "does not exist" in _refused("dgnet", [tmp_path / "gen.pt"], tmp_path)

    content["gen"]["a"]["enc_content.model.9.conv.weight"] = torch.ones(1)
    torch.save(content["gen"], files["gen"])
    said = _refused("dgnet", [files["gen"], files["id"]], tmp_path)
    assert "names that gen_NNNNNNNN.pt of dgnet does not have: enc_content.model.9.conv" in said

    del content["gen"]["a"]["enc_content.model.9.conv.weight"]
    missing = content["gen"]["a"].pop("dec.model.8.conv.bias")
    torch.save(content["gen"], files["gen"])
    said = _refused("dgnet", [files["gen"], files["id"]], tmp_path)
    assert "lack decoder.out.2.bias" in said

    content["gen"]["a"]["dec.model.8.conv.bias"] = missing[:1]
    torch.save(content["gen"], files["gen"])
    said = _refused("dgnet", [files["gen"], files["id"]], tmp_path)
    assert "decoder.out.2.bias (1,) where (3,) is expected" in said

    files["id"].write_bytes(files["id"].read_bytes()[:5000])
    assert "is damaged or no torch file" in _refused("dgnet", [files["id"]], tmp_path)
    torch.save({"gen": {"state": {}, "param_groups": [1]}}, tmp_path / "optimizer.pt")
    assert "holds no weights" in _refused("dgnet", [tmp_path / "optimizer.pt"], tmp_path)


def test_files_that_only_their_names_tell_apart_need_them(tmp_path: Path) -> None:
    _, method = trained("cmpig")
    content = originals("cmpig", method)
    paths = saved(tmp_path, content)
    other = tmp_path / "visible.pkl"
    torch.save(content["model-0"], other)
    said = _refused("cmpig", [other, *paths[1:]], tmp_path)
    assert "tells which light it is of; call it model-0_NNN.pkl or model-1_NNN.pkl" in said

    changed = dict(content["model-1"])
    changed["mod_invar_enc.classifier.bn.bias"] = torch.ones(128)
    torch.save(changed, paths[[p.name for p in paths].index("model-1_1.pt")])
    assert "give files of one training" in _refused("cmpig", paths, tmp_path)


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("dgnett", "did you mean 'dgnet'"),
        ("torchvision", "--set config.weights=FILE"),
    ],
)
def test_an_unknown_system_is_told_what_there_is(tmp_path: Path, system: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        import_files(system, [tmp_path / "x.pt"], tmp_path / "run")


def test_a_run_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        import_files("agw", [tmp_path / "x.pt"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


class _Command:
    """Stands for an object that a plain `torch.load` would build by running a command."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_file_that_carries_code_is_refused_and_does_nothing(
    tmp_path: Path, new_format: bool
) -> None:
    made, path = tmp_path / "made", tmp_path / "sysu_best.t"
    content = {"net": {"classifier.weight": torch.ones(2, 2)}, "mAP": _Command(made)}
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    assert "would run code" in _refused("agw", [path], tmp_path)
    assert not made.exists()
    torch.load(path, weights_only=False)
    assert made.is_dir()


@pytest.mark.parametrize("new_format", [True, False])
def test_figures_beside_the_weights_may_be_numpys(tmp_path: Path, new_format: bool) -> None:
    path = tmp_path / "best.t"
    network = torch.nn.Sequential(torch.nn.Linear(2, 3))
    weights = torch.nn.DataParallel(network).state_dict()  # ordered, and with metadata
    figures = {"cmc": np.ones(3, np.float32), "mAP": np.float64(0.5), "epoch": np.int64(3)}
    torch.save({"net": weights, **figures}, path, _use_new_zipfile_serialization=new_format)
    (read,) = read_networks(path).values()
    assert list(read) == ["0.weight", "0.bias"]
    assert torch.equal(read["0.weight"], network[0].weight)
    if not new_format:
        # As numpy 1 wrote them, of weights that lay on a GPU.
        written = path.read_bytes()
        for now, then in (
            (b"numpy._core.multiarray", b"numpy.core.multiarray"),
            (b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"),
        ):
            assert now in written
            written = written.replace(now, then)
        path.write_bytes(written)
        (read,) = read_networks(path).values()
        assert torch.equal(read["0.weight"], network[0].weight)
