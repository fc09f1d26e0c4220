"""What codes and pictures are good for: finding people by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols import evaluate
from crosslight.probing.interventions import Codes, wide
from crosslight.probing.people import Photographs
from crosslight.probing.pictures import Floats, Pairs, Shown
from crosslight.types import Modality

Embed: TypeAlias = Callable[[Floats, Modality], NDArray[np.floating]]
"""`(N, h, w, 3)` in [0, 1] of a light → `(N, D)`."""


class Judge:
    """A network that had no part in the pictures, and the real images of the people.

    Args:
        people: The gallery.
        embed: The network.
        shown: From images to what it embeds.
    """

    def __init__(self, people: Photographs, embed: Embed, shown: Shown) -> None:
        self.people = people
        self.embed = embed
        self.shown = shown

    @cached_property
    def vectors(self) -> NDArray[np.float64]:
        """Of the real images, unit length."""
        found = {
            light: _unit(self.embed(self.shown(self.people.images[self.people.of(light)]), light))
            for light in self.people.lights
        }
        vectors = np.empty((len(self.people), next(iter(found.values())).shape[1]))
        for light, part in found.items():
            vectors[self.people.of(light)] = part
        return vectors

    def likenesses(self, pictures: Floats, light: Modality) -> NDArray[np.float64]:
        """Cosine of each picture with each real image."""
        near: NDArray[np.float64] = _unit(self.embed(pictures, light)) @ self.vectors.T
        return near


ALL = "all codes"


Use: TypeAlias = dict[str, float]
"""How well people are found, percent: `rank1` and `mAP`."""


def find_by_codes(codes: Codes, known: Features, protocol: str, *, seed: int) -> dict[str, Use]:
    """Retrieval by each code alone, by all, and by all with one of them wrong.

    `NAME permuted` gives every image the code of another image; `NAME exchanged` that of another
    image of the same person in the same light, which costs nothing if the code knows the person and
    only the person. From the other light it would bring the answer along.
    Codes are brought to length 1 before they are put together, so each counts alike.

    Args:
        codes: Name → `(N, D)`.
        known: Labels of the same images; its `feats` are not read.
        protocol: Name of the protocol.
        seed: Of the exchanges.
    """
    rng = np.random.default_rng(seed)
    unit = {name: _unit(code) for name, code in codes.items()}
    found = {name: _found(known, code, protocol) for name, code in unit.items()}
    if len(unit) < 2:
        return found
    found[ALL] = _found(known, np.concatenate(list(unit.values()), axis=1), protocol)
    anybody = rng.permutation(len(known.pids))
    same = _within(np.stack([known.pids, known.modality.astype(np.int64)], axis=1), rng)
    for name in unit:
        for word, order in (("permuted", anybody), ("exchanged", same)):
            parts = [code[order] if other == name else code for other, code in unit.items()]
            found[f"{name} {word}"] = _found(known, np.concatenate(parts, axis=1), protocol)
    return found


def whom_swaps_show(judge: Judge, pairs: Pairs, drawn: Floats) -> dict[str, float]:
    """Whom a stranger's network takes swapped people for, percent of the pictures.

    It embeds the picture and all images of the people but the two that made it; the nearest one
    shows the person of the appearance, that of the structure, or somebody else. `true ...` are the
    same figures of the true swaps: what a perfect drawer would get.

    Args:
        judge: The network and the gallery.
        pairs: Who lends what to whom.
        drawn: `(N, h, w, 3)` in [0, 1].
    """
    pids, rows = judge.people.pids, np.arange(len(drawn))
    shares: dict[str, float] = {}
    for word, pictures in (("", drawn), ("true ", judge.shown(pairs.true))):
        near = judge.likenesses(pictures, pairs.light)
        near[rows, pairs.bodies] = near[rows, pairs.looks] = -np.inf
        seen = pids[near.argmax(axis=1)]
        looks, bodies = (float((seen == pids[made]).mean()) for made in (pairs.looks, pairs.bodies))
        shares[f"{word}appearance"], shares[f"{word}structure"] = 100 * looks, 100 * bodies
        shares[f"{word}somebody else"] = 100 * (1 - looks - bodies)
    return shares


def found_by_drawn(judge: Judge, asked: NDArray[np.int64], drawn: Floats, light: Modality) -> float:
    """Rank-1, percent, of drawn pictures that ask for their person among real images of the light.

    Images of the person by the camera that asks are left out.

    Args:
        judge: The network and the gallery.
        asked: `(N,)` the numbers of the images that the pictures were drawn of.
        drawn: `(N, h, w, 3)` in [0, 1].
        light: The light of the gallery.
    """
    people, able = judge.people, judge.people.of(light)
    near = judge.likenesses(drawn, light)[:, able]
    own = people.pids[able] == people.pids[asked][:, None]
    own &= people.cams[able] == people.cams[asked][:, None]
    near[own] = -np.inf
    found = people.pids[able][near.argmax(axis=1)]
    return 100 * float((found == people.pids[asked]).mean())


def _found(known: Features, code: NDArray[np.float64], protocol: str) -> Use:
    scores: Mapping[str, Any] = evaluate(replace(known, feats=code), protocol).mean
    return {name: 100 * float(scores[name]) for name in ("rank1", "mAP")}


def _unit(code: NDArray[np.floating]) -> NDArray[np.float64]:
    values = wide(code)
    lengths: NDArray[np.float64] = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.maximum(lengths, 1e-12)


def _within(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Each image → another one of its group, a row each, where there is one."""
    order = np.arange(len(groups))
    for group in np.unique(groups, axis=0):
        own = np.flatnonzero((groups == group).all(axis=1))
        turned = rng.permutation(own)
        order[turned] = np.roll(turned, 1)
    return order
