"""The released programs that can be brought here, by name, and which of their files is which."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crosslight.errors import CheckpointError, ConfigError
from crosslight.registry import did_you_mean
from crosslight.released.agw import AGW, CAJ
from crosslight.released.bdtr import BDTR
from crosslight.released.cmpig import CMPIG
from crosslight.released.contract import Piece, System
from crosslight.released.d2rl import D2RL
from crosslight.released.dgnet import DGNET
from crosslight.released.files import Networks
from crosslight.released.hicmd import HICMD
from crosslight.released.proposed_2020 import PROPOSED_2020

SYSTEMS: Mapping[str, System] = {
    "agw": AGW,
    "bdtr": BDTR,
    "caj": CAJ,
    "cmpig": CMPIG,
    "d2rl": D2RL,
    "dgnet": DGNET,
    "hicmd": HICMD,
    "proposed-2020": PROPOSED_2020,
}
_BACKBONES = ("torchvision", "timm")
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A file and what it is.

    Attributes:
        path: The file.
        piece: Of its system.
        networks: Key of the piece's tables → weights by their original names.
    """

    path: Path
    piece: Piece
    networks: Networks


def system_named(name: str) -> System:
    """A released program.

    Raises:
        ConfigError: There is none of that name.
    """
    if name in _BACKBONES:
        raise ConfigError(
            f"The weights of a {name} ResNet are a backbone's, which any recipe takes as they are: "
            "crosslight train RECIPE --set config.weights=FILE."
        )
    if name not in SYSTEMS:
        raise ConfigError(f"No released weights of {name!r} are known{did_you_mean(name, SYSTEMS)}")
    return SYSTEMS[name]


def recognised(name: str, files: Mapping[Path, Networks]) -> list[Recognised]:
    """Says which piece of a system each file is, by the names in it.

    Args:
        name: Of the system.
        files: Path → what `read_networks` gives.

    Raises:
        CheckpointError: A file of something else, a name that no rule knows, two files of one
            piece, or a piece that is needed and not there.
    """
    system = SYSTEMS[name]
    found: dict[str, Recognised] = {}
    for path, networks in files.items():
        piece, own = _piece_of(name, path, networks)
        if piece.name in found:
            raise CheckpointError(
                f"{found[piece.name].path} and {path} both hold {piece.holds}; give one of them."
            )
        found[piece.name] = Recognised(path=path, piece=piece, networks=own)
    for piece in system.pieces:
        if not piece.needed_for and piece.name not in found:
            raise CheckpointError(
                f"No file is {piece.name}, which holds {piece.holds}; give it too: crosslight "
                f"import {name} {' '.join(expected_files(system))} --out RUN."
            )
    return [found[piece.name] for piece in system.pieces if piece.name in found]


def expected_files(system: System) -> list[str]:
    """What a system's files are called, those in brackets that may be left out."""
    return [p.name if not p.needed_for else f"[{p.name}]" for p in system.pieces]


def _piece_of(name: str, path: Path, networks: Networks) -> tuple[Piece, Networks]:
    """The piece that knows most of the names, and all of them."""
    fitting = [
        (_unknown(piece, own), piece, own)
        for piece in SYSTEMS[name].pieces
        if (own := _as_keyed(piece, networks)) is not None
    ]
    total = sum(len(weights) for weights in networks.values())
    least = min((len(unknown) for unknown, _, _ in fitting), default=total)
    if least == total:
        raise CheckpointError(f"{path} is no file of {name} {_what_it_is(name, networks)}.")
    best = [entry for entry in fitting if len(entry[0]) == least]
    if least:
        shown = ", ".join(best[0][0][:_SHOWN])
        more = f" and {least - _SHOWN} more" if least > _SHOWN else ""
        raise CheckpointError(
            f"{path} has names that {best[0][1].name} of {name} does not have: {shown}{more} "
            f"{_what_it_is(name, networks)}."
        )
    if len(best) > 1:
        best = [entry for entry in best if re.match(str(entry[1].called), path.name)]
        if len(best) != 1:
            names = " or ".join(p.name for unknown, p, _ in fitting if len(unknown) == least)
            raise CheckpointError(
                f"Nothing in {path} tells which light it is of; call it {names}, as the original "
                "program does."
            )
    _, piece, own = best[0]
    return piece, own


def _as_keyed(piece: Piece, networks: Networks) -> Networks | None:
    """A file's networks under the keys of a piece; None: they cannot be its."""
    if set(piece.tables) == {""}:
        return {"": next(iter(networks.values()))} if len(networks) == 1 else None
    return networks if set(networks) == set(piece.tables) else None


def _unknown(piece: Piece, networks: Networks) -> list[str]:
    return [
        original
        for key, weights in networks.items()
        for original in piece.tables[key].unknown(weights)
    ]


def _what_it_is(name: str, networks: Networks) -> str:
    """The end of a sentence about a file that does not belong: whose it is, or what it has."""
    for other, system in SYSTEMS.items():
        for piece in system.pieces:
            own = _as_keyed(piece, networks)
            if other != name and own is not None and not _unknown(piece, own):
                return f"(it fits {other}: crosslight import {other} ...)"
    files = ", ".join(expected_files(SYSTEMS[name]))
    keys = ", ".join(repr(key) for key in networks if key)
    first = next((original for weights in networks.values() for original in weights), "nothing")
    return f"(it holds {first}, ...{f' under {keys}' if keys else ''}; expected {files})"
