"""A model and a store together: an image in, a ranked list with probabilities out.

    searcher = Searcher(store, embedder)             # refuses a model that did not fill the store
    answer = searcher.search(image, k=20, where=Filter(cams=frozenset({3})))
    answer = searcher.search_like(row_id, k=20)      # from a row of the gallery; it is left out
    for result in answer.results:
        result.rank, result.hit.id, result.hit.distance, result.probability, result.accepted
    answer.verdict                                   # "in-gallery", "not-in-gallery", "unknown"

`Embedder` is what the gallery needs to know about a model; experiments/embedder.py makes one
from a run folder with `load_embedder(run)`. Its `translate` is None for models that cannot show a
person in the other light, else PIL image + source + target modality -> PIL image.

Probabilities come from the calibration in the store; without one they are None and the verdict
is "unknown". With one, "in-gallery" means that strangers find something as near as the nearest
result in no more than the chosen share of their searches, over as many rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from crosslight.data.images import guess_modality
from crosslight.errors import GalleryError
from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.calibration.open_set import OpenSet, Verdict, open_set_of
from crosslight.gallery.options import Asking
from crosslight.gallery.stores.rows import EVERYTHING, Filter, Hit, Vectors
from crosslight.gallery.stores.store import Store, refusal
from crosslight.types import DeepRange, Distance, Modality


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """What a gallery needs to know about a model.

    Attributes:
        fingerprint: Names its weights and its input size (hexadecimal).
        method: Name of its method.
        run: Its run folder.
        distance: How its embeddings are compared.
        height: Image height in pixels.
        width: Image width in pixels.
        interpolation: How images are brought to that size.
        embed: Images (RGB) and the `Modality` of each → (N, D).
        translate: Image, source and target `Modality` → the same person in the other light, for
            models that can.
        deep_range: How it was trained to see images with more than 8 bits, as in `StoreInfo`.
        swap: Image with the appearance, image with the structure → drawn image, for models that
            can.
    """

    fingerprint: str
    method: str
    run: str
    distance: Distance
    height: int
    width: int
    embed: Callable[[Sequence[Image.Image], Sequence[int]], Vectors]
    translate: Callable[[Image.Image, int, int], Image.Image] | None = None
    swap: Callable[[Image.Image, Image.Image], Image.Image] | None = None
    interpolation: str = "bilinear"
    deep_range: DeepRange | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """A line of the ranked list.

    Attributes:
        rank: From 1.
        hit: The row.
        probability: That it is the query's person, in [0, 1]; None without a calibration.
        accepted: Whether it is near enough for the rate of false alarms; None where nobody
            measured that.
    """

    rank: int
    hit: Hit
    probability: float | None
    accepted: bool | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a search found.

    Attributes:
        results: Nearest first.
        modality: `Modality` of the query.
        verdict: Whether the person seems to be in the gallery.
        false_alarms: Share of searches for strangers that may end with "in-gallery"; None where
            nothing can be said.
        alarm: Share of searches for strangers that find something as near as this search did.
        share_found: Share of images of people who are in the gallery that are found at this rate of
            false alarms, as far as the people of the calibration tell.
        searched: Rows that fit the filter.
        seconds: Embedding and search.
    """

    results: tuple[Result, ...]
    modality: int
    verdict: Verdict
    false_alarms: float | None
    alarm: float | None
    share_found: float | None
    searched: int
    seconds: float


class Searcher:
    """Answers queries by one model over one store; safe to use from several threads.

    Args:
        store: The people.
        embedder: The model that filled it.

    Raises:
        GalleryError: Another model filled the store.
    """

    def __init__(self, store: Store, embedder: Embedder) -> None:
        if embedder.fingerprint != store.info.model:
            raise GalleryError(refusal(store.info, embedder.fingerprint))
        self.store = store
        self.embedder = embedder

    def search(
        self,
        image: Image.Image,
        *,
        k: int = Asking.top,
        where: Filter = EVERYTHING,
        modality: int | None = None,
        exact: bool = False,
        false_alarms: float | None = None,
    ) -> Answer:
        """The people nearest to an image.

        Args:
            image: RGB.
            k: Results.
            where: Which rows may be found.
            modality: `Modality` of the image; None: guessed from its colours.
            exact: Compare with every row, whatever index there is.
            false_alarms: As in `Asking`.

        Raises:
            ConfigError: The calibration cannot show so small a rate of false alarms.
        """
        start = time.perf_counter()
        light = guess_modality(image) if modality is None else modality
        vectors = self.embedder.embed([image], [light])
        return self._answer(vectors, light, k, where, exact, false_alarms, start)

    def search_like(
        self,
        row: str,
        *,
        k: int = Asking.top,
        where: Filter = EVERYTHING,
        exact: bool = False,
        false_alarms: float | None = None,
    ) -> Answer:
        """The people nearest to a row of the gallery, which is itself left out.

        Raises:
            ConfigError: As `search`.
            GalleryError: There is no such row.
        """
        start = time.perf_counter()
        found = self.store.get([row])
        if not len(found):
            raise GalleryError(f"There is no row {row!r} in {self.store.location}; list its rows.")
        light = int(found.frame["modality"][0])
        others = where.without(row)
        return self._answer(found.vectors, light, k, others, exact, false_alarms, start)

    def _answer(
        self,
        vectors: Vectors,
        light: int,
        k: int,
        where: Filter,
        exact: bool,
        false_alarms: float | None,
        start: float,
    ) -> Answer:
        calibration = Calibration.from_plain(self.store.info.calibration)
        lights = where.modalities or [int(of) for of in Modality]
        rows = {of: self.store.count(where.of_light(of)) for of in lights}
        judge = open_set_of(calibration, light, rows, false_alarms)
        hits = self.store.search(vectors, k, where, exact=exact)[0]
        results = tuple(
            Result(
                rank=rank,
                hit=hit,
                probability=None
                if calibration is None
                else calibration.probability(hit.distance, light, hit.modality),
                accepted=judge.accepts(hit),
            )
            for rank, hit in enumerate(hits, start=1)
        )
        telling = self._nearest_of_each_light(vectors, hits, where, judge, exact=exact)
        return Answer(
            results=results,
            modality=light,
            verdict=judge.verdict(telling),
            false_alarms=judge.rate,
            alarm=judge.lowest(telling),
            share_found=judge.share_found(),
            searched=sum(rows.values()),
            seconds=time.perf_counter() - start,
        )

    def _nearest_of_each_light(
        self, vectors: Vectors, hits: list[Hit], where: Filter, judge: OpenSet, *, exact: bool
    ) -> list[Hit]:
        """Also of a light whose rows are all behind the last result: its distances say more."""
        found = {hit.modality: hit for hit in reversed(hits)}
        if hits and judge.rate is not None:
            for light in judge.alarms.keys() - found.keys():
                behind = self.store.search(vectors, 1, where.of_light(light), exact=exact)[0]
                found.update({hit.modality: hit for hit in behind})
        return list(found.values())
