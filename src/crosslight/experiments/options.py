"""What a user may say when a run is evaluated, and when recipes are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosslight.errors import ConfigError
from crosslight.evaluation.scoring import Sampler, Scoring
from crosslight.exporting.card import Format
from crosslight.ranges import Checked, Count, Part, Pixels, Positive, Seed, Trial, Workers
from crosslight.training.machines import Machines
from crosslight.types import Accelerator, Distance

if TYPE_CHECKING:
    from crosslight.evaluation.reranking.refinements import Refinement


@dataclass(frozen=True, kw_only=True)
class Evaluating(Checked):
    """How a run is evaluated.

    Attributes:
        trial: Split number, for layouts that have several.
        protocols: Protocols to score; repeatable. None: all that fit the layout.
        distance: How embeddings are compared. None: as the method says.
        sampler: Gallery sampler of sysu-mm01.
        permutations: rand_perm_cam.mat for the official sampler; None: looked for in the data set.
        flip: Sum the embeddings of each image and its mirror image; recorded in the result.
        unit_views: With --flip: bring both to length 1 before, as CAJ's test program does.
        code: Score one of the method's codes instead, e.g. dgnet's teacher, into files of its own.
        workers: Processes that load images.
        accelerator: Where to embed.
    """

    trial: Trial = 1
    protocols: tuple[str, ...] = ()
    distance: Distance | None = None
    sampler: Sampler = Scoring.sampler
    permutations: Path | None = None
    flip: bool = False
    unit_views: bool = False
    code: str | None = None
    workers: Workers = 2
    accelerator: Accelerator = Machines.accelerator


@dataclass(frozen=True, kw_only=True)
class Exporting(Checked):
    """What is exported of a run, and how it is checked.

    Attributes:
        format: What the graphs are written in.
        flip: Sum the embeddings of each image and its mirror image, inside the graph.
        unit_views: With --flip: bring both to length 1 before, as CAJ's test program does.
        int8: Quantise weights and activations to 8 bits; refused where mAP falls by more than half
            a point.
        calibrate: LAYOUT:ROOT whose training crops --int8 is fitted to, and whose test images it
            is then scored on.
        crops: Crops of each light that --int8 is fitted to.
        fp16: Store OpenVINO's weights in 16 bits; refused as --int8 is.
        data: LAYOUT:ROOT whose test images the export is compared on, with mAP. None: a few of
            those of the run's own data set.
        trial: Split number, for layouts that have several.
        images: Images whose values and neighbours are compared.
        workers: Processes that load images for the run.
    """

    format: Format = "onnx"
    flip: bool = False
    unit_views: bool = False
    int8: bool = False
    calibrate: str | None = None
    crops: Count = 300
    fp16: bool = False
    data: str | None = None
    trial: Trial = 1
    images: Count = 256
    workers: Workers = 2


def refuse_unit_views_alone(how: Evaluating | Exporting) -> None:
    """Raises ConfigError where views that are not summed shall have length 1."""
    if how.unit_views and not how.flip:
        raise ConfigError("--unit-views says how --flip sums; add --flip, or leave it out.")


@dataclass(frozen=True, kw_only=True)
class Refining(Checked):
    """Which refinements are scored, each by itself in rows of its own beside the plain ranking.

    Attributes:
        rerank: Also score after k-reciprocal re-ranking.
        k1: Neighbours that a set of the re-ranking is made of. None: 20.
        k2: Neighbours whose weights the re-ranking averages. None: 6.
        share: Weight of the original distance in the re-ranking, the paper's lambda. None: 0.3.
        expand: Also score after query expansion by so many nearest images.
    """

    rerank: bool = False
    k1: int | None = None
    k2: int | None = None
    share: float | None = None
    expand: int | None = None

    def chosen(self) -> tuple[Refinement, ...]:
        """Re-ranking first, then query expansion.

        Raises:
            ConfigError: A number of the re-ranking is given without it, or is out of range.
        """
        from crosslight.evaluation.reranking.refinements import KReciprocal, QueryExpansion

        numbers: dict[str, Any] = {
            name: value
            for name, value in (("k1", self.k1), ("k2", self.k2), ("share", self.share))
            if value is not None
        }
        if numbers and not self.rerank:
            name = next(iter(numbers))
            raise ConfigError(f"--{name} is a number of the re-ranking; add --rerank.")
        reranked = (KReciprocal(**numbers),) if self.rerank else ()
        expanded = () if self.expand is None else (QueryExpansion(k=self.expand),)
        return (*reranked, *expanded)


@dataclass(frozen=True, kw_only=True)
class Ablating(Checked):
    """Which variants of a recipe are compared, and under which budget.

    Attributes:
        switches: Variants: names that the method knows, several at once joined by +, or
            NAME:KEY=VALUE,KEY=VALUE.
        cumulative: Each switch is added to those before it.
        against: Other recipes, as they are.
        seeds: Each variant is trained once with each.
        images: Training images that every variant sees; its lengths are scaled. None: as its
            recipe says.
        overrides: Changes of every variant.
        protocols: Protocols to score; repeatable. None: all that fit the layout.
        trial: Split number, for layouts that have several.
        accelerator: Where to train.
    """

    switches: tuple[str, ...] = ()
    cumulative: bool = False
    against: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = (0,)
    images: Count | None = None
    overrides: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    trial: Trial = 1
    accelerator: Accelerator = Machines.accelerator


@dataclass(frozen=True, kw_only=True)
class Filling(Checked):
    """What a leaderboard compares, and under which budget; kept from the first call on.

    What is not given is as the board has it. A new board begins, is as large and lasts as long as
    the recipe of its first system says.

    Attributes:
        systems: Names, recipes or YAML files, each with switches of its method (agw,
            structure-id+gray, mine.yaml+slow:config.lr=1e-5); later calls may add some. The first
            one is what the others are compared with. None: those of the board; of a new one, all
            that fit the data.
        seeds: Each system is trained once with each; later calls may add some. None: those of the
            board; of a new one 0, 1 and 2.
        images: Training images that every system sees, over all its stages.
        backbone: Every network that has learnt before; see --weights.
        weights: What these begin from.
        height: Image height in pixels.
        width: Image width in pixels.
        rates: Factors of each recipe's learning rates to try before; the one with the best mAP on
            people who are neither trained on nor tested is kept. None: 1, untried.
        try_share: Part of --images that each of these tries sees. None: all.
        overrides: Changes of every system.
        trial: Split number, for layouts that have several. None: 1.
        runs: Folder for the trainings. None: runs in the board's folder, which git ignores.
        accelerator: Where to train.
        only_table: Write the table, the figures and the picture again, and train nothing.
    """

    systems: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = ()
    images: Count | None = None
    backbone: str | None = None
    weights: str | None = None
    height: Pixels | None = None
    width: Pixels | None = None
    rates: tuple[Positive, ...] = ()
    try_share: Part | None = None
    overrides: tuple[str, ...] = ()
    trial: Trial | None = None
    runs: Path | None = None
    accelerator: Accelerator = Machines.accelerator
    only_table: bool = False


@dataclass(frozen=True, kw_only=True)
class Probing(Checked):
    """On whom a run is probed, and how long.

    Attributes:
        people: New people of the data set's world, an image of each by every camera; of data that
            nobody drew, so many test people.
        draws: Repetitions, each with other pairs and splits; at least 3 for a standard deviation.
        pairs: Swaps, and translations, of each draw and each pair of lights.
        changed: Images of each draw and light whose factors are changed one by one.
        crowd: Pictures of each draw whose distribution is compared with real ones.
        seed: Of the first draw.
        trial: Split number, for layouts that have several.
        inception: File of Inception's weights, such as pt_inception-2015-12-05-6726825d.pth: FID
            and KID of what is drawn are measured too.
    """

    people: Count = 200
    draws: Count = 3
    pairs: Count = 84
    changed: Count = 32
    crowd: Count = 300
    seed: Seed = 0
    trial: Trial = 1
    inception: Path | None = None
