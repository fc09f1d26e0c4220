"""Names and shapes in the files of the original programs, and each name here's original.

A line is a module and the shape of its weight, whose bias follows from it; `bare` has no bias,
`norm` is a batch norm, `=` a tensor of that very name. {0-3} and {w,b} in a name stand for several.
Read off the original classes with their published configurations.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping

import crosslight.data.torchvision_build  # noqa: F401

# isort: split
import torch
from torch import Tensor
from torchvision.models import resnet18, resnet50

from crosslight.released.rules import Table

Shapes = dict[str, tuple[int, ...]]
Files = dict[str, dict[str, dict[str, Tensor]]]
NORM = ("weight", "bias", "running_mean", "running_var")


def listed(text: str) -> Shapes:
    """The tensors of such lines."""
    found: Shapes = {}
    for line in text.split("\n"):
        pattern, *rest = line.split()
        for name in _several(pattern):
            found |= _tensors(name, *rest)
    return found


def _several(pattern: str) -> Iterable[str]:
    pieces = re.split(r"\{(.*?)\}", pattern)
    choices = []
    for number, piece in enumerate(pieces):
        first, dash, last = piece.partition("-")
        if number % 2 == 0:
            choices.append([piece])
        elif dash:
            choices.append([str(n) for n in range(int(first), int(last) + 1)])
        else:
            choices.append(piece.split(","))
    return ("".join(chosen) for chosen in itertools.product(*choices))


def _tensors(name: str, text: str, kind: str = "") -> Shapes:
    shape = tuple(int(n) for n in text.strip("=").split(",") if n)
    if text.startswith("="):
        return {name: shape}
    if kind == "norm":
        return {**{f"{name}.{n}": shape for n in NORM}, f"{name}.num_batches_tracked": ()}
    return {f"{name}.weight": shape} | ({} if kind == "bare" else {f"{name}.bias": shape[:1]})


def resnet(
    start: str, build: Callable[[], torch.nn.Module] = resnet50, *, fc: bool = True
) -> Shapes:
    with torch.device("meta"):
        state = build().state_dict()
    return {
        f"{start}.{name}": tuple(value.shape)
        for name, value in state.items()
        if fc or not name.startswith("fc.")
    }


def _head(start: str, people: int, channels: int = 2048) -> str:
    return f"""{start}.add_block.0 512,{channels}
{start}.add_block.1 512 norm
{start}.classifier.0 {people},512"""


STRUCTURE = """enc_content.model.0.conv 16,1,3,3
enc_content.model.1.conv 32,16,3,3
enc_content.model.2.conv 32,32,3,3
enc_content.model.3.conv 64,32,3,3
enc_content.model.4.model.{0-3}.model.{0-1}.conv 64,64,3,3
enc_content.model.5.conv1.conv 32,64,1,1
enc_content.model.5.conv{6,12,18}.0.conv 32,64,1,1
enc_content.model.5.conv{6,12,18}.1.conv 32,32,3,3
enc_content.model.5.fuse.conv 128,128,1,1
dec.model.1.model.{0-3}.model.{0-1}.conv 128,128,3,3
dec.model.1.model.{0-3}.model.{0-1}.norm.running_{mean,var} =128
dec.model.3.conv 64,128,5,5
dec.model.3.norm.{gamma,beta} =64
dec.model.5.conv 32,64,5,5
dec.model.5.norm.{gamma,beta} =32
dec.model.{6-7}.conv 32,32,3,3
dec.model.8.conv 3,32,1,1"""
DGNET_GENERATOR = f"""{STRUCTURE}
mlp_{{w,b}}{{1-4}}.model.0.fc 512,2048
mlp_{{w,b}}{{1-4}}.model.1.fc 512,512
mlp_{{w,b}}{{1-4}}.model.2.fc 256,512"""
STUDY = f"""{DGNET_GENERATOR}
enc_content.model_1.0.conv 64,128,3,3
enc_content.model_1.1.conv 3,64,3,3
{_head("enc_content.classifier1", 395, 512)}
{_head("enc_content.classifier2", 395, 512)}"""
CRITIC = """cnns.{0-2}.0.conv 32,3,1,1
cnns.{0-2}.{1-3}.conv 32,32,3,3
cnns.{0-2}.4.conv 64,32,3,3
cnns.{0-2}.{5-8}.model.{0-1}.conv 64,64,3,3
cnns.{0-2}.9 1,64,1,1"""
UNIT_GENERATOR = """enc.model.0.conv 64,3,7,7
enc.model.1.conv 128,64,4,4
enc.model.2.conv 256,128,4,4
enc.model.3.model.{0-3}.model.{0-1}.conv 256,256,3,3
dec.model.0.model.{0-3}.model.{0-1}.conv 256,256,3,3
dec.model.2.conv 128,256,5,5
dec.model.2.norm.{gamma,beta} =128
dec.model.4.conv 64,128,5,5
dec.model.4.norm.{gamma,beta} =64
dec.model.5.conv 3,64,7,7"""
UNIT_CRITIC = """cnns.{0-2}.0.conv 64,3,4,4
cnns.{0-2}.1.conv 128,64,4,4
cnns.{0-2}.2.conv 256,128,4,4
cnns.{0-2}.3.conv 512,256,4,4
cnns.{0-2}.4 1,512,1,1"""
NON_LOCAL = """NL_{layer}.{{0-{last}}}.{{theta,phi}} 1,{channels},1,1
NL_{layer}.{{0-{last}}}.g.0 1,{channels},1,1
NL_{layer}.{{0-{last}}}.W.0 {channels},1,1,1
NL_{layer}.{{0-{last}}}.W.1 {channels} norm"""
HICMD_GENERATOR = """enc_pro.model1.0.conv 32,3,3,3
enc_pro.model1.1.conv 64,32,3,3
enc_pro.model2.0.conv 64,64,3,3
enc_pro.model2.1.conv 128,64,3,3
enc_pro.model3.0.model.{0-3}.model.{0-1}.conv 128,128,3,3
enc_pro.model3.1.conv1.conv 64,128,1,1
enc_pro.model3.1.conv{6,12,18}.0.conv 64,128,1,1
enc_pro.model3.1.conv{6,12,18}.1.conv 64,64,3,3
enc_pro.model3.1.fuse.conv 256,256,1,1
dec.model.0.model.{0-3}.model.{0-1}.conv 256,256,3,3
dec.model.0.model.{0-3}.model.{0-1}.norm.running_{mean,var} =256
dec.model.2.conv 128,256,5,5
dec.model.2.norm.{gamma,beta} =128
dec.model.4.conv 64,128,5,5
dec.model.4.norm.{gamma,beta} =64
dec.model.{5-6}.conv 64,64,3,3
dec.model.7.conv 3,64,1,1
dec.mlp_{w,b}{1-4}.model.{0-2}.fc 512,512"""
HICMD_HEAD = """classifier.add_block.0 2048,2048
classifier.add_block.1 2048 norm
classifier.classifier.0 206,2048
classifier.add_block2.0 1024,2048"""
JSIA_GENERATOR = """mod_invar_enc.classifier.bn 2048 norm
mod_invar_enc.classifier.classifier 395,2048 bare
mod_spec_enc.model.0.conv 32,3,7,7
mod_spec_enc.model.1.conv 64,32,4,4
mod_spec_enc.model.2.conv 128,64,4,4
mod_spec_enc.model.{3-4}.conv 128,128,4,4
mod_spec_enc.model.6 128,128,1,1
mod_spec_enc.classifier 395,128
mlp.model.0.fc 256,128
mlp.model.1.fc 256,256
mlp.model.2.fc 2048,256
dec.model.0.model.{0-1}.model.{0-1}.conv 256,256,3,3
dec.model.0.model.{0-1}.model.{0-1}.norm.running_{mean,var} =256
dec.model.2.conv 128,256,5,5
dec.model.2.norm.{gamma,beta} =128
dec.model.3.conv 3,128,7,7"""
JSIA_CRITIC = """cnns.{0-1}.0.conv 32,3,4,4
cnns.{0-1}.1.conv 64,32,4,4
cnns.{0-1}.2.conv 128,64,4,4
cnns.{0-1}.3.conv 256,128,4,4
cnns.{0-1}.4 1,256,1,1"""


def _jsia() -> Shapes:
    places = {"conv1": "1.0", "bn1": "1.1", "layer1": "1.3"}
    places |= {f"layer{n + 2}": f"2.{n}" for n in range(3)}
    found: Shapes = {}
    for name, shape in resnet("", fc=False).items():
        layer, _, rest = name.removeprefix(".").partition(".")
        found[f"mod_invar_enc.resnet_conv{places[layer]}.{rest}"] = shape
    return found | listed(JSIA_GENERATOR)


def agw(people: int) -> Shapes:
    found: Shapes = {}
    for start in ("visible_module.visible", "thermal_module.thermal", "base_resnet.base"):
        found |= resnet(start, fc=False)
    found |= listed(NON_LOCAL.format(layer=2, last=1, channels=512))
    found |= listed(NON_LOCAL.format(layer=3, last=2, channels=1024))
    return found | listed(f"bottleneck 2048 norm\nclassifier {people},2048 bare")


def two_stream(place: int = 1) -> Shapes:
    return (
        resnet("visible_net.visible")
        | resnet("thermal_net.thermal")
        | listed(
            f"feature.feat_block.0 512,2048\nfeature.feat_block.1 512 norm\n"
            f"classifier.classifier.{place} 395,512"
        )
    )


def published() -> dict[str, dict[str, dict[str, Shapes]]]:
    """System → file → key in it → names and shapes; a bare file has the key ''."""
    dgnet = {
        "gen_00100000.pt": {"a": listed(DGNET_GENERATOR)},
        "id_00100000.pt": {
            "a": resnet("model")
            | listed(f"{_head('classifier1', 751)}\n{_head('classifier2', 751)}")
        },
        "dis_00100000.pt": {"a": listed(CRITIC)},
        "net_last.pth": {"": resnet("model") | listed(_head("classifier", 751))},
    }
    study = {
        "gen_00122000.pt": {"a": listed(STUDY) | resnet("enc_content.model_res_str", resnet18)},
        "id_00122000.pt": {
            "a": resnet("model")
            | listed(f"{_head('classifier1', 395)}\n{_head('classifier2', 395)}")
        },
        "dis_00122000.pt": {"a": listed(CRITIC)},
    }
    unit = {
        "gen_00100000.pt": dict.fromkeys("ab", listed(UNIT_GENERATOR)),
        "dis_00100000.pt": dict.fromkeys("ab", listed(UNIT_CRITIC)),
    }
    hicmd = {
        "gen_0070000.pt": dict.fromkeys("ab", resnet("enc_att.model") | listed(HICMD_GENERATOR)),
        "dis_0070000.pt": dict.fromkeys("ab", listed(CRITIC)),
        "id_0070000.pt": {
            "id": listed(HICMD_HEAD),
            "backbone_pro": resnet("model"),
            "combine_weight": {"multp": ()},
        },
    }
    cmpig = {
        **{f"model-{n}_649.pkl": {"": _jsia()} for n in (0, 1)},
        **{f"model-{n}_649.pkl": {"": listed(JSIA_CRITIC)} for n in (2, 3)},
    }
    return {
        "agw": {"sysu_best.t": {"net": agw(395)}},
        "caj": {"regdb_best.t": {"net": agw(206)}},
        "bdtr": {"sysu_best.t": {"net": two_stream()}},
        "cmpig": cmpig,
        "d2rl": unit,
        "dgnet": dgnet,
        "hicmd": hicmd,
        "proposed-2020": study,
    }


_DGNET = {
    r"structure\.layers\.([0-3])\.conv\.(.+)": "enc_content.model.{1}.conv.{2}",
    r"structure\.layers\.([4-7])\.first\.(.+)": "enc_content.model.4.model.{1-4}.model.0.{2}",
    r"structure\.layers\.([4-7])\.second\.(.+)": "enc_content.model.4.model.{1-4}.model.1.{2}",
    r"structure\.layers\.8\.near\.(.+)": "enc_content.model.5.conv1.{1}",
    r"structure\.layers\.8\.far\.(\d)\.(\d)\.(.+)": "enc_content.model.5.conv{1+1*6}.{2}.{3}",
    r"structure\.layers\.8\.fuse\.(.+)": "enc_content.model.5.fuse.{1}",
    r"adain\.scale\.(\d)\.(\d)\.(.+)": "mlp_w{1+1}.model.{2/2}.fc.{3}",
    r"adain\.shift\.(\d)\.(\d)\.(.+)": "mlp_b{1+1}.model.{2/2}.fc.{3}",
    r"decoder\.blocks\.(\d)\.first\.(.+)": "dec.model.1.model.{1}.model.0.conv.{2}",
    r"decoder\.blocks\.(\d)\.second\.(.+)": "dec.model.1.model.{1}.model.1.conv.{2}",
    r"decoder\.up\.(0|2)\.(.+)": "dec.model.{1+3}.{2}",
    r"decoder\.up\.(1|3)\.scale": "dec.model.{1+2}.norm.gamma",
    r"decoder\.up\.(1|3)\.shift": "dec.model.{1+2}.norm.beta",
    r"decoder\.out\.(0|1)\.(.+)": "dec.model.{1+6}.{2}",
    r"decoder\.out\.2\.(.+)": "dec.model.8.conv.{1}",
}
_HEADS = {
    "linear": "add_block.0",
    "norm": "add_block.1",
    "classifier": "classifier.0",
}


def _back_head(here: str, original: str) -> dict[str, str]:
    return {
        rf"{here}\.{ours}\.(.+)": f"{original}.{theirs}.{{1}}" for ours, theirs in _HEADS.items()
    }


def _back_critic(here: str) -> dict[str, str]:
    return {
        rf"{here}\.(\d)\.([0-4])\.(.+)": "cnns.{1}.{2}.{3}",
        rf"{here}\.(\d)\.([5-8])\.first\.(.+)": "cnns.{1}.{2}.model.0.{3}",
        rf"{here}\.(\d)\.([5-8])\.second\.(.+)": "cnns.{1}.{2}.model.1.{3}",
        rf"{here}\.(\d)\.9\.(.+)": "cnns.{1}.9.{2}",
    }


_APPEARANCE = {r"appearance\.backbone\.network\.(.+)": "model.{1}"}


def _back_unit(light: str) -> dict[str, dict[str, str]]:
    encoder, decoder = (rf"image_level\.{n}_{light}\.layers" for n in ("encoder", "decoder"))
    return {
        "gen": {
            rf"{encoder}\.([0-2])\.(.+)": "enc.model.{1}.{2}",
            rf"{encoder}\.([3-6])\.first\.(.+)": "enc.model.3.model.{1-3}.model.0.{2}",
            rf"{encoder}\.([3-6])\.second\.(.+)": "enc.model.3.model.{1-3}.model.1.{2}",
            rf"{decoder}\.([0-3])\.first\.(.+)": "dec.model.0.model.{1}.model.0.{2}",
            rf"{decoder}\.([0-3])\.second\.(.+)": "dec.model.0.model.{1}.model.1.{2}",
            rf"{decoder}\.(4|6)\.(conv\..+)": "dec.model.{1-2}.{2}",
            rf"{decoder}\.(5|7)\.scale": "dec.model.{1-3}.norm.gamma",
            rf"{decoder}\.(5|7)\.shift": "dec.model.{1-3}.norm.beta",
            rf"{decoder}\.8\.(.+)": "dec.model.5.{1}",
        },
        "dis": {rf"image_level\.critic_{light}\.critics\.(.+)": "cnns.{1}"},
    }


def _back_hicmd(light: int) -> dict[str, dict[str, str]]:
    prototype = rf"prototype\.networks\.{light}\.layers"
    drawing = {
        k: v.replace("dec.model.8", "dec.model.7").replace("mlp_", "dec.mlp_")
        for k, v in _DGNET.items()
        if k.startswith(("adain", r"decoder\.out\.2"))
    }
    return {
        "gen": {
            rf"attribute\.networks\.{light}\.backbone\.network\.(.+)": "enc_att.model.{1}",
            rf"{prototype}\.([01])\.(.+)": "enc_pro.model1.{1}.{2}",
            rf"{prototype}\.([23])\.(.+)": "enc_pro.model2.{1-2}.{2}",
            rf"{prototype}\.([4-7])\.first\.(.+)": "enc_pro.model3.0.model.{1-4}.model.0.{2}",
            rf"{prototype}\.([4-7])\.second\.(.+)": "enc_pro.model3.0.model.{1-4}.model.1.{2}",
            rf"{prototype}\.8\.near\.(.+)": "enc_pro.model3.1.conv1.{1}",
            rf"{prototype}\.8\.far\.(\d)\.(\d)\.(.+)": "enc_pro.model3.1.conv{1+1*6}.{2}.{3}",
            rf"{prototype}\.8\.fuse\.(.+)": "enc_pro.model3.1.fuse.{1}",
            r"decoder\.blocks\.(\d)\.first\.(.+)": "dec.model.0.model.{1}.model.0.conv.{2}",
            r"decoder\.blocks\.(\d)\.second\.(.+)": "dec.model.0.model.{1}.model.1.conv.{2}",
            r"decoder\.up\.(0|2)\.(.+)": "dec.model.{1+2}.{2}",
            r"decoder\.up\.(1|3)\.scale": "dec.model.{1+1}.norm.gamma",
            r"decoder\.up\.(1|3)\.shift": "dec.model.{1+1}.norm.beta",
            r"decoder\.out\.(0|1)\.(.+)": "dec.model.{1+5}.{2}",
            **drawing,
        },
        "dis": _back_critic(rf"critics\.{light}\.critics"),
    }


def _back_cmpig(light: int) -> dict[str, dict[str, str]]:
    style, adain, decoder = (
        rf"translator\.{n}\.networks\.{light}" for n in ("styles", "adain", "decoders")
    )
    return {
        f"model-{light}": {
            r"content\.conv1\.(.+)": "mod_invar_enc.resnet_conv1.0.{1}",
            r"content\.bn1\.(.+)": "mod_invar_enc.resnet_conv1.1.{1}",
            r"content\.layer1\.(.+)": "mod_invar_enc.resnet_conv1.3.{1}",
            r"instance\.layer(\d)\.(.+)": "mod_invar_enc.resnet_conv2.{1-2}.{2}",
            r"head\.neck\.(.+)": "mod_invar_enc.classifier.bn.{1}",
            r"head\.classifier\.(.+)": "mod_invar_enc.classifier.classifier.{1}",
            rf"{style}\.layers\.(.+)": "mod_spec_enc.model.{1}",
            rf"{style}\.out\.(.+)": "mod_spec_enc.model.6.{1}",
            rf"{adain}\.layers\.(\d)\.(.+)": "mlp.model.{1/2}.fc.{2}",
            rf"{decoder}\.blocks\.(\d)\.first\.(.+)": "dec.model.0.model.{1}.model.0.conv.{2}",
            rf"{decoder}\.blocks\.(\d)\.second\.(.+)": "dec.model.0.model.{1}.model.1.conv.{2}",
            rf"{decoder}\.up\.0\.(.+)": "dec.model.2.{1}",
            rf"{decoder}\.up\.1\.scale": "dec.model.2.norm.gamma",
            rf"{decoder}\.up\.1\.shift": "dec.model.2.norm.beta",
            rf"{decoder}\.out\.(.+)": "dec.model.3.{1}",
        },
        f"model-{light + 2}": {rf"translator\.critics\.{light}\.critics\.(.+)": "cnns.{1}"},
    }


_AGW = {
    r"backbone\.stems\.0\.(.+)": "visible_module.visible.{1}",
    r"backbone\.stems\.1\.(.+)": "thermal_module.thermal.{1}",
    r"backbone\.shared\.(layer[14]\..+)": "base_resnet.base.{1}",
    r"backbone\.shared\.layer2\.([0-2])\.(.+)": "base_resnet.base.layer2.{1}.{2}",
    r"backbone\.shared\.layer2\.4\.(.+)": "base_resnet.base.layer2.3.{1}",
    r"backbone\.shared\.layer3\.([0-3])\.(.+)": "base_resnet.base.layer3.{1}.{2}",
    r"backbone\.shared\.layer3\.5\.(.+)": "base_resnet.base.layer3.4.{1}",
    r"backbone\.shared\.layer3\.7\.(.+)": "base_resnet.base.layer3.5.{1}",
    **{
        rf"backbone\.shared\.layer{layer}\.{place}\.{ours}": f"NL_{layer}.{number}.{theirs}"
        for layer, places in ((2, (3, 5)), (3, (4, 6, 8)))
        for number, place in enumerate(places)
        for ours, theirs in (
            (r"(theta|phi)\.(.+)", "{1}.{2}"),
            (r"g\.(.+)", "g.0.{1}"),
            (r"out\.(.+)", "W.0.{1}"),
            (r"norm\.(.+)", "W.1.{1}"),
        )
    },
    r"head\.neck\.(.+)": "bottleneck.{1}",
    r"head\.classifier\.(.+)": "classifier.{1}",
}
BACK: dict[str, dict[tuple[str, str], dict[str, str]]] = {
    "agw": {("sysu_best", "net"): _AGW},
    "caj": {("regdb_best", "net"): _AGW},
    "bdtr": {
        ("sysu_best", "net"): {
            r"backbone\.networks\.0\.network\.(.+)": "visible_net.visible.{1}",
            r"backbone\.networks\.1\.network\.(.+)": "thermal_net.thermal.{1}",
            r"head\.linear\.(.+)": "feature.feat_block.0.{1}",
            r"head\.norm\.(.+)": "feature.feat_block.1.{1}",
            r"head\.classifier\.(.+)": "classifier.classifier.1.{1}",
        }
    },
    "dgnet": {
        ("gen", "a"): _DGNET,
        ("id", "a"): {
            **_APPEARANCE,
            **_back_head("primary", "classifier1"),
            **_back_head("fine", "classifier2"),
        },
        ("dis", "a"): _back_critic(r"critic\.critics"),
        ("net_last", ""): {
            r"teacher\.backbone\.network\.(.+)": "model.{1}",
            **_back_head(r"teacher\.head", "classifier"),
        },
    },
    "proposed-2020": {
        ("gen", "a"): {
            **_DGNET,
            r"body\.structure\.entry\.(.+)": "enc_content.model_1.{1}",
            r"body\.structure\.layers\.network\.(.+)": "enc_content.model_res_str.{1}",
            **_back_head(r"heads\.structure\.primary", "enc_content.classifier1"),
            **_back_head(r"heads\.structure\.fine", "enc_content.classifier2"),
        },
        ("id", "a"): _APPEARANCE,
        ("dis", "a"): _back_critic(r"critic\.critics"),
    },
    "d2rl": {
        (file, key): rules
        for key, light in (("a", "v"), ("b", "i"))
        for file, rules in _back_unit(light).items()
    },
    "hicmd": {
        **{
            (file, key): rules
            for light, key in enumerate("ab")
            for file, rules in _back_hicmd(light).items()
        },
        ("id", "id"): {
            **_back_head("head", "classifier"),
            r"metric\.(.+)": "classifier.add_block2.0.{1}",
        },
        ("id", "backbone_pro"): {r"vector\.layers\.(\d)\.(.+)": "model.layer{1+2}.{2}"},
        ("id", "combine_weight"): {"share": "multp"},
    },
    "cmpig": {(file, ""): rules for light in (0, 1) for file, rules in _back_cmpig(light).items()},
}


def originals_of(system: str, here: str) -> list[tuple[str, str, str]]:
    """Beginning of the file's name, key and original name of what is called so here."""
    return [
        (file, key, original)
        for (file, key), rules in BACK[system].items()
        if (original := Table(kept=rules).here(here)) is not None
    ]


def renamed_back(
    system: str, state: Mapping[str, Tensor]
) -> dict[str, dict[str, dict[str, Tensor]]]:
    """Beginning of a file's name → key → what the original program would have saved there."""
    files: dict[str, dict[str, dict[str, Tensor]]] = {}
    for here, tensor in state.items():
        for file, key, original in originals_of(system, here):
            files.setdefault(file, {}).setdefault(key, {})[original] = tensor
    return files
