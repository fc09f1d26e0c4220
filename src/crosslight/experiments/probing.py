"""Probes a run: what its codes know, how true its pictures are, what both are good for."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from crosslight.data.images import read_image
from crosslight.data.layouts import parse_data_argument, read_layout
from crosslight.data.promenade.dataset import load_world
from crosslight.data.record import is_promenade
from crosslight.data.splits import TEST_SPLITS
from crosslight.drawing.beside_truth import draw_beside_truth
from crosslight.drawing.pictures import write_png
from crosslight.errors import ConfigError
from crosslight.evaluation.features import Features
from crosslight.experiments.embedder import fingerprint_of
from crosslight.experiments.inception import Inception
from crosslight.experiments.options import Probing
from crosslight.experiments.run import Run
from crosslight.files import require_folder, sha256_of, write_text
from crosslight.methods.contract import Disentangles, Swaps, Translates
from crosslight.parts import named_if_missing
from crosslight.probing.factors import factors_of, true_code
from crosslight.probing.interventions import movements
from crosslight.probing.kept import read_codes, write_codes
from crosslight.probing.people import Images, Numbers, People, Photographs, draw_people
from crosslight.probing.pictures import (
    MEASURES,
    Floats,
    Likeness,
    draw_pairs,
    swaps_beside_truth,
    translations_beside_truth,
)
from crosslight.probing.realism import diversity, frechet_distance, kernel_distance
from crosslight.probing.using import Judge, find_by_codes, found_by_drawn, whom_swaps_show
from crosslight.types import Modality

FOLDER, RESULT = "probe", "probe.json"
JUDGE = "promenade"
UNTRAINED = "untrained "
PIXELS, TRUTH = "raw pixels", "the factors themselves"
PARTS = ("leakage", "movements", "use", "swaps", "translations", "realism")
INCEPTION = "inception"
"""One more part, where the user has the file of weights."""
SHEET_ROWS = 8
"""Pairs of the first draw that a sheet of pictures shows."""
FEWEST = 50
"""Pictures whose distribution can be compared in a space of 2,048 numbers at all."""

_DISTANCES = (frechet_distance, kernel_distance)

PROTOCOL: Mapping[str, int] = {
    **dict.fromkeys(PARTS, 2),
    **dict.fromkeys(("leakage", "realism", INCEPTION), 3),
}
"""Counted up when a part is measured in another way: what was measured before is measured again."""

Figures: TypeAlias = dict[str, Any]
"""Names → names → a list with a figure of every draw."""


def sheets_of(run: Path) -> tuple[Path, ...]:
    """Pictures that a probe left beside its figures: what was drawn, and the truth."""
    probed = read_probed(run)
    kinds = [kind for kind in ("swaps", "translations") if probed and kind in probed.parts]
    return tuple(path for kind in kinds for path in sorted((run / FOLDER).glob(f"{kind}-*.png")))


@dataclass(frozen=True, kw_only=True)
class Probed:
    """All that was measured of a run.

    Attributes:
        settings: What was measured, on whom, of which weights.
        parts: Part → its figures; see `PARTS`.
        missing: Part → the sentence that says why it could not be measured.
    """

    settings: Mapping[str, Any]
    parts: Mapping[str, Figures]
    missing: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As `probe.json` has it."""
        return asdict(self)


def probe_run(
    run: Path,
    data: str,
    how: Probing | None = None,
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> Probed:
    """Measures a run and writes `probe/` into its folder; a part that is there is not made again.

    On a Promenade it draws new people of the same world, in no image of the data set; on others it
    takes the test images, and leaves out what needs the truth.

    Args:
        run: Run folder.
        data: `LAYOUT:ROOT`.
        how: How much.
        tell: Told a line whenever a part begins.

    Raises:
        ConfigError: The method has no codes and draws nothing.
        CheckpointError: `how.inception` is not the file that it should be.
        MissingPartError: Of `how.inception`, the extra `generation` is not installed.
    """
    how = how or Probing()
    opened = Run(run)
    if not isinstance(opened.method, Disentangles | Swaps | Translates):
        raise ConfigError(
            f"The method {opened.recipe.method} of {run} has neither codes nor pictures to probe; "
            "take a run of one that has, such as dgnet."
        )
    layout, root = parse_data_argument(data)
    settings = {
        "method": opened.recipe.method,
        "weights": fingerprint_of(run),
        "protocol": max(PROTOCOL.values()),
        "layout": layout.name,
        "root": str(root.resolve()),
        **{name: value for name, value in asdict(how).items() if name != INCEPTION},
    }
    folder = run / FOLDER
    require_folder(folder)
    probe = _Probe(opened, layout.name, root, how, settings, folder, tell)
    whose = settings
    if how.inception is not None:
        probe.space = Inception(how.inception, opened.device)
        whose = {**settings, INCEPTION: sha256_of(how.inception)}
    parts: dict[str, Figures] = {}
    missing: dict[str, str] = {}
    for part in PARTS if how.inception is None else (*PARTS, INCEPTION):
        reason = probe.lacks(part)
        if reason is not None:
            missing[part] = reason
            continue
        kept = folder / f"{part}.json"
        asked = {**(whose if part == INCEPTION else settings), "protocol": PROTOCOL[part]}
        figures = _kept(kept, asked)
        if figures is None:
            tell(part)
            figures = getattr(probe, part)()
            write_text(kept, json.dumps({"settings": asked, "figures": figures}) + "\n")
        parts[part] = figures
    probed = Probed(settings=whose, parts=parts, missing=missing)
    write_text(folder / RESULT, json.dumps(probed.to_json(), indent=2) + "\n")
    return probed


def read_probed(run: Path | str) -> Probed | None:
    """What `probe_run` left in a run's folder; None before it ran."""
    path = Path(run) / FOLDER / RESULT
    if not path.is_file():
        return None
    return Probed(**json.loads(path.read_text(encoding="utf-8")))


def _kept(path: Path, settings: Mapping[str, Any]) -> Figures | None:
    """The figures of a file, if they were measured in the same way."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return (
        content["figures"] if content.get("settings") == json.loads(json.dumps(settings)) else None
    )


class _Probe:
    """A run and the people it is probed with; each part measures one thing."""

    def __init__(
        self,
        run: Run,
        layout: str,
        root: Path,
        how: Probing,
        settings: Mapping[str, Any],
        folder: Path,
        tell: Callable[[str], None],
    ) -> None:
        self.run, self.layout, self.root, self.how, self.tell = run, layout, root, how, tell
        self.settings, self.folder = settings, folder
        self.method = run.method
        self.draws = range(how.seed, how.seed + how.draws)
        self.space: Inception | None = None

    @property
    def _swaps(self) -> bool:
        return isinstance(self.method, Swaps) and "swapping" not in self.run.untrained

    @property
    def _translates(self) -> bool:
        return isinstance(self.method, Translates) and "translating" not in self.run.untrained

    def lacks(self, part: str) -> str | None:
        """Why a part cannot be measured, or None."""
        name = self.run.recipe.method
        if part in ("leakage", "movements", "use"):
            if not isinstance(self.method, Disentangles):
                return f"{name} has no codes."
            if "embedding" in self.run.untrained:
                return f"This {name} was never trained to embed."
        if part == "swaps" and not self._swaps:
            return f"{name} does not swap."
        if part == "translations" and not self._translates:
            return f"{name} does not translate."
        if part in ("realism", INCEPTION) and not (self._swaps or self._translates):
            return f"{name} draws nothing."
        if part == INCEPTION and (fewest := self._count) < FEWEST:
            return (
                f"{fewest} pictures of a light are too few for its 2,048 numbers; say --crowd and "
                f"--people so that there are {FEWEST} or more, and as many real ones."
            )
        if part in ("movements", "swaps", "translations") and not is_promenade(self.root):
            return f"{self.root} is no Promenade: nobody knows the true picture or its factors."
        if part == "translations" and len(self.people.lights) < 2:
            return "All images are of one light."
        return None

    @cached_property
    def people(self) -> Photographs:
        if is_promenade(self.root):
            self.tell(f"drawing {self.how.people} people whom nobody has seen")
            return draw_people(load_world(self.root), self.how.people)
        return self._photographs()

    def _photographs(self) -> Photographs:
        """The test images, brought to the method's size."""
        table = read_layout(self.layout, self.root, trial=self.how.trial)
        table = table.split(*(split for split in TEST_SPLITS if split in set(table.splits)))
        data = self.run.recipe.data
        size = (data.width, data.height)
        first = np.unique(table.pids[table.pids > 0])[: self.how.people]
        rows = np.flatnonzero(np.isin(table.pids, first))
        pictures = [
            read_image(table.paths[row], deep_range=data.deep_range).resize(size) for row in rows
        ]
        return Photographs(
            images=np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]),
            pids=table.pids[rows].astype(np.int64),
            cams=table.cams[rows].astype(np.int64),
            modality=table.modality[rows].astype(np.int64),
        )

    @cached_property
    def truth(self) -> People:
        assert isinstance(self.people, People)
        return self.people

    @cached_property
    def codes(self) -> dict[str, NDArray[np.float32]]:
        made_of = {
            key: self.settings[key] for key in ("weights", "layout", "root", "people", "trial")
        }
        codes = read_codes(self.folder, made_of)
        if codes is None:
            self.tell(f"codes of {len(self.people)} images")
            codes = self.encode(self.people.images, self.people.modality)
            write_codes(self.folder, codes, self.people, made_of)
        return codes

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.people, self.embed, self.shown)

    @cached_property
    def _stranger(self) -> Run:
        return Run(JUDGE)

    def encode(self, images: Images, modality: Numbers) -> dict[str, NDArray[np.float32]]:
        return self.run.codes(list(images), modality=[Modality(int(m)) for m in modality])

    def embed(self, pictures: Floats, light: Modality) -> NDArray[np.float32]:
        """By the network that ships, which had no part in the pictures."""
        return self._stranger.embed(list(_eight_bits(pictures)), modality=light)

    def shown(self, images: Images) -> Floats:
        """As the method sees them."""
        stacked = torch.stack([self.run.transform(Image.fromarray(image)) for image in images])
        return _floats(stacked)

    @torch.inference_mode()
    def swap(self, appearance: Images, structure: Images) -> Floats:
        assert isinstance(self.method, Swaps)
        drawn = [
            self.method.swap(self._pixels(appearance[part]), self._pixels(structure[part]))
            for part in _parts(len(appearance))
        ]
        return _floats(torch.cat(drawn))

    @torch.inference_mode()
    def translate(self, images: Images, source: Modality, target: Modality) -> Floats:
        assert isinstance(self.method, Translates)
        drawn = [
            self.method.translate(self._pixels(images[part]), source, target)
            for part in _parts(len(images))
        ]
        return _floats(torch.cat(drawn))

    def _pixels(self, images: Images) -> torch.Tensor:
        stacked = torch.stack([self.run.transform(Image.fromarray(image)) for image in images])
        return stacked.to(self.run.device)

    def leakage(self) -> Figures:
        """Code → factor → probe → score of every split, with references; chance; what is known."""
        with named_if_missing():
            from crosslight.probing.leakage import (
                completeness,
                disentanglement,
                raw_pixels,
                read_out,
            )
        factors = factors_of(self.people)
        own = self.codes
        references = {PIXELS: raw_pixels(self.people.images)}
        if isinstance(self.people, People):
            references[TRUTH] = true_code(factors)
        untrained = {UNTRAINED + name: code for name, code in self._untrained().items()}
        seeds = list(self.draws)
        told: Callable[[str], None] = lambda name: self.tell(f"  reading {name}")  # noqa: E731
        pids = self.people.pids
        readings = [
            *read_out({**own, **references}, factors, pids, seeds=seeds, progress=told),
            *read_out(untrained, factors, pids, seeds=seeds, probes=("linear",), progress=told),
        ]
        scores: Figures = {}
        known: Figures = {}
        for one in readings:
            scores.setdefault(one.code, {}).setdefault(one.factor, {})[one.probe] = one.scores
            known.setdefault(one.probe, {}).setdefault(one.code, {})[one.factor] = fmean(one.known)
        trained = [one for one in readings if one.code in own]
        return {
            "scores": scores,
            "known": known,
            "chance": {one.factor: one.chance for one in readings},
            "sizes": {name: int(np.prod(code.shape[1:])) for name, code in own.items()},
            "disentanglement": disentanglement(trained),
            "completeness": completeness(trained),
        }

    def _untrained(self) -> dict[str, NDArray[np.float32]]:
        """The codes of the same networks with weights that nobody trained."""
        trained, torch_state = self.run.method, torch.get_rng_state()
        torch.manual_seed(self.how.seed)
        try:
            self.run.method = deepcopy(trained)
            for module in self.run.method.modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
            return self.encode(self.people.images, self.people.modality)
        finally:
            self.run.method = trained
            torch.set_rng_state(torch_state)

    def movements(self) -> Figures:
        """Light → code → factor → share of every draw."""
        found: Figures = {}
        for light in self.truth.lights:
            for seed in self.draws:
                moved = movements(self.truth, self.encode, light, count=self.how.changed, seed=seed)
                _append(found.setdefault(light.name.lower(), {}), moved)
        return found

    def use(self) -> Figures:
        """What is compared → rank-1 and mAP of every draw."""
        people, protocol = self.people, "any-camera"
        asked = people.modality == Modality.INFRARED
        if len(people.lights) < 2:
            protocol, asked = "market1501", people.cams == people.cams.min()
        known = Features(
            feats=np.zeros((len(people), 1), np.float32),
            pids=people.pids,
            cams=people.cams,
            modality=people.modality.astype(np.uint8),
            split=np.where(asked, "query", "gallery"),
        )
        found: Figures = {"protocol": protocol, "scores": {}}
        for seed in self.draws:
            uses = find_by_codes(self.codes, known, protocol, seed=seed)
            _append(found["scores"], uses)
        return found

    def swaps(self) -> Figures:
        """Lights → likeness to the truth, and whom the judge sees, of every draw."""
        found: Figures = {}
        lights = self.truth.lights
        for appearance, structure in itertools.product(lights, lights):
            place = found.setdefault(_pair(appearance, structure), {})
            for seed in self.draws:
                pairs = draw_pairs(
                    self.truth,
                    appearance=appearance,
                    structure=structure,
                    count=self.how.pairs,
                    seed=seed,
                )
                images = self.truth.images
                drawn = self.swap(images[pairs.looks], images[pairs.bodies])
                like = swaps_beside_truth(self.truth, pairs, drawn, self.shown)
                judged = whom_swaps_show(self.judge, pairs, drawn)
                if seed == self.draws[0]:
                    self._keep_sheet(
                        f"swaps {_pair(appearance, structure)}".replace(" ", "-"),
                        {"appearance of": pairs.looks, "structure of": pairs.bodies},
                        {"drawn": drawn, "the truth": like.truth},
                    )
                _append(place, {**_told(like), "judged": judged})
        return found

    def translations(self) -> Figures:
        """Target light → likeness to the truth, and rank-1 of the drawn queries, of every draw."""
        found: Figures = {}
        for to in self.truth.lights:
            source = Modality(1 - to)
            for seed in self.draws:
                able = self.truth.of(source)
                asked = np.random.default_rng(seed).choice(able, self.how.pairs)
                given = self.truth.images[asked]
                drawn = self.translate(given, source, to)
                like = translations_beside_truth(
                    self.truth, asked, drawn, self.shown, to=to, seed=seed
                )
                if seed == self.draws[0]:
                    self._keep_sheet(
                        f"translations-to-{to.name.lower()}",
                        {"image of": asked},
                        {"drawn": drawn, "the truth": like.truth},
                    )
                rank1 = {
                    "drawn": found_by_drawn(self.judge, asked, drawn, to),
                    "the input": found_by_drawn(self.judge, asked, self.shown(given), to),
                }
                _append(found.setdefault(to.name.lower(), {}), {**_told(like), "rank1": rank1})
        return found

    def realism(self) -> Figures:
        """What is drawn → distances to real images of its light, in the judge's space, and SSIM.

        `real` is other real images, no image of which was drawn from: what no drawer can fall
        below but by chance. All sets have one size, as these distances fall with it.
        """
        names = f"Frechet distance ({JUDGE})", f"kernel distance ({JUDGE})"
        return self._beside_real(self.embed, names, with_diversity=True)

    def inception(self) -> Figures:
        """As `realism`, in the space of Inception: FID and KID."""
        space = self.space
        assert space is not None
        return self._beside_real(
            lambda pictures, _: space(_eight_bits(pictures)), ("FID (Inception)", "KID (Inception)")
        )

    def _beside_real(
        self,
        space: Callable[[Floats, Modality], NDArray[np.float32]],
        names: tuple[str, str],
        *,
        with_diversity: bool = False,
    ) -> Figures:
        found: Figures = {}
        for seed in self.draws:
            real: dict[Modality, NDArray[np.float32]] = {}
            for name, pictures, light, reference in self._crowds(seed):
                if light not in real:
                    real[light] = space(self.shown(self.people.images[reference]), light)
                crowd = space(pictures, light)
                distances = (measure(crowd, real[light]) for measure in _DISTANCES)
                row = dict(zip(names, distances, strict=True))
                if with_diversity:
                    row["SSIM of pairs"] = diversity(pictures, pairs=200, seed=seed)
                _append(found.setdefault(name, {}), row)
        return found

    def _keep_sheet(
        self, name: str, sources: Mapping[str, Numbers], made: Mapping[str, Floats]
    ) -> None:
        """Some rows of what was measured, to be looked at."""
        given = {title: self._labelled(rows[:SHEET_ROWS]) for title, rows in sources.items()}
        drawn = {title: _eight_bits(pictures[:SHEET_ROWS]) for title, pictures in made.items()}
        write_png(draw_beside_truth(given, drawn), self.folder / f"{name}.png")

    def _labelled(self, rows: Numbers) -> tuple[Images, list[str]]:
        """Images as the method sees them, and whose they are."""
        people = self.people
        lines = [f"person {people.pids[row]}, camera {people.cams[row]}" for row in rows]
        return self._shown_whole(rows), lines

    def _shown_whole(self, rows: Numbers) -> Images:
        return _eight_bits(self.shown(self.people.images[rows]))

    @property
    def _count(self) -> int:
        """How many pictures of a light are drawn; as many real ones are left to compare with."""
        fewest = min(len(self.people.of(light)) for light in self.people.lights)
        return min(fewest // 2, self.how.crowd)

    def _crowds(self, seed: int) -> Iterable[tuple[str, Floats, Modality, Numbers]]:
        """What is compared: its name, its pictures, their light, and the real images beside them.

        Pictures are drawn from one part of the images and compared with another.
        """
        rng, count = np.random.default_rng(seed), self._count
        images, sources, references = self.people.images, {}, {}
        for light in self.people.lights:
            rows = rng.permutation(self.people.of(light))
            sources[light], references[light] = rows[:count], rows[count : 2 * count]
        for light, looks in sources.items():
            name, reference = light.name.lower(), references[light]
            if self._swaps:
                drawn = self.swap(images[looks], images[rng.permutation(looks)])
                yield f"swaps, {name}", drawn, light, reference
            if self._translates and len(sources) == 2:
                other = Modality(1 - light)
                drawn = self.translate(images[sources[other]], other, light)
                yield f"translations to {name}", drawn, light, reference
            yield f"real {name}", self.shown(images[looks]), light, reference


def _told(like: Likeness) -> dict[str, Any]:
    rows = {"drawn": like.drawn, **like.floors, "taken again": like.ceiling}
    told: dict[str, Any] = {
        name: {" ".join(measure): figure for measure, figure in row.items()}
        for name, row in rows.items()
    }
    keys = [(measure, "person") for measure in MEASURES]
    told["scaled"] = {" ".join(key): like.scaled(key) for key in keys}
    return told


def _append(into: Figures, figures: Mapping[str, Any]) -> None:
    """Another draw's figure behind those that are there, however deep they stand."""
    for name, figure in figures.items():
        if isinstance(figure, Mapping):
            _append(into.setdefault(name, {}), figure)
        else:
            into.setdefault(name, []).append(round(float(figure), 6))


def _pair(appearance: Modality, structure: Modality) -> str:
    return f"{appearance.name.lower()} on {structure.name.lower()}"


def _parts(count: int) -> list[slice]:
    return [slice(start, start + 64) for start in range(0, count, 64)]


def _floats(pictures: torch.Tensor) -> Floats:
    return pictures.float().cpu().permute(0, 2, 3, 1).clamp(0, 1).numpy().astype(np.float64)


def _eight_bits(pictures: Floats) -> Images:
    whole: Images = np.round(pictures * 255).astype(np.uint8)
    return whole
