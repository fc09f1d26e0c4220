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
is "unknown". With one, "in-gallery" means that at least one result's distance is within the
threshold of the chosen false-match rate, for its pair of lights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from crosslight.data.images import guess_modality
from crosslight.errors import GalleryError
from crosslight.gallery.calibration import Calibration
from crosslight.gallery.options import Asking
from crosslight.gallery.rows import EVERYTHING, Filter, Hit, Vectors
from crosslight.gallery.store import Store, refusal
from crosslight.types import DeepRange, Distance

Verdict = Literal["in-gallery", "not-in-gallery", "unknown"]


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
        accepted: Whether the distance is within the threshold; None without a calibration.
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
        false_match_rate: What the threshold was chosen for; None without a calibration.
        seconds: Embedding and search.
    """

    results: tuple[Result, ...]
    modality: int
    verdict: Verdict
    false_match_rate: float | None
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
    ) -> Answer:
        """The people nearest to an image.

        Args:
            image: RGB.
            k: Results.
            where: Which rows may be found.
            modality: `Modality` of the image; None: guessed from its colours.
            exact: Compare with every row, whatever index there is.
        """
        start = time.perf_counter()
        light = guess_modality(image) if modality is None else modality
        vectors = self.embedder.embed([image], [light])
        return self._answer(vectors, light, k, where, exact=exact, start=start)

    def search_like(
        self, row: str, *, k: int = Asking.top, where: Filter = EVERYTHING, exact: bool = False
    ) -> Answer:
        """The people nearest to a row of the gallery, which is itself left out.

        Raises:
            GalleryError: There is no such row.
        """
        start = time.perf_counter()
        found = self.store.get([row])
        if not len(found):
            raise GalleryError(f"There is no row {row!r} in {self.store.location}; list its rows.")
        light = int(found.frame["modality"][0])
        others = where.without(row)
        return self._answer(found.vectors, light, k, others, exact=exact, start=start)

    def _answer(
        self, vectors: Vectors, light: int, k: int, where: Filter, *, exact: bool, start: float
    ) -> Answer:
        hits = self.store.search(vectors, k, where, exact=exact)[0]
        calibration = Calibration.from_plain(self.store.info.calibration)
        results = []
        for rank, hit in enumerate(hits, start=1):
            probability = accepted = None
            if calibration is not None:
                probability = calibration.probability(hit.distance, light, hit.modality)
                accepted = calibration.accepts(hit.distance, light, hit.modality)
            results.append(Result(rank=rank, hit=hit, probability=probability, accepted=accepted))
        return Answer(
            results=tuple(results),
            modality=light,
            verdict=_verdict(results),
            false_match_rate=calibration.false_match_rate if calibration else None,
            seconds=time.perf_counter() - start,
        )


def _verdict(results: Sequence[Result]) -> Verdict:
    if any(result.accepted for result in results):
        return "in-gallery"
    # A pair of lights that the calibration has not seen leaves the question open.
    if not results or any(result.accepted is None for result in results):
        return "unknown"
    return "not-in-gallery"
