"""What can be read out of each code: probes that learn from some people and are asked on others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crosslight.probing.factors import Factor
from crosslight.probing.people import Images

Probe: TypeAlias = Literal["linear", "mlp"]
PROBES: tuple[Probe, ...] = get_args(Probe)

TESTED_SHARE = 0.4
"""Of the people, on whom no probe learns."""
_LINEAR_WIDTH, _MLP_WIDTH = 256, 64
_ALPHAS = np.logspace(0, 6, 7)
_FOLDS = 3
"""Of the probe's own people: images of one person resemble each other, and would agree that a line
which knows these people is a good one."""
_IMAGES_PER_ALPHA = 30
"""Of the small networks' penalty. A tenth of it learns by heart, ten times as much hardly bends."""
_PIXELS = (16, 8)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How well one factor is read out of one code.

    Attributes:
        code: Name of the code.
        factor: Name of the factor.
        probe: Which kind.
        scores: One of each split: balanced accuracy of classes, R2 of numbers (their mean).
        chance: What knows nothing gets: 1 / classes, or 0.
    """

    code: str
    factor: str
    probe: Probe
    scores: tuple[float, ...]
    chance: float

    @property
    def known(self) -> tuple[float, ...]:
        """Each score between chance (0) and certainty (1); below chance is 0."""
        return tuple(max(0.0, (s - self.chance) / (1 - self.chance)) for s in self.scores)


def read_out(
    codes: Mapping[str, NDArray[np.floating]],
    factors: Sequence[Factor],
    pids: NDArray[np.int64],
    *,
    seeds: Sequence[int],
    probes: Sequence[Probe] = PROBES,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Reading]:
    """Reads every factor out of every code, by probes that never saw the people they are asked on.

    Linear probes are ridge regressions with the penalty that cross-validation over people chooses,
    of at most 256 principal components; the others have one hidden layer of 64 units on 64
    components, and a penalty in proportion to the images. Numbers they read as what a linear probe
    leaves over, so that they begin where it ends, and as much of it as some of the probe's own
    people, on whom a first network did not learn, bear out. All inputs are brought to mean 0 and
    standard deviation 1 on the probe's own people, and what lies outside of all that these have to
    the nearest that they have: a probe is not asked about what it could not learn.

    Args:
        codes: Name → `(N, D)`.
        factors: Of the same images.
        pids: `(N,)`.
        seeds: One split of the people each, the same for all codes.
        probes: Which kinds.
        progress: Told the name of each code as it begins.
    """
    splits = [
        next(
            GroupShuffleSplit(n_splits=1, test_size=TESTED_SHARE, random_state=seed).split(
                pids, groups=pids
            )
        )
        for seed in seeds
    ]
    for name, code in codes.items():
        progress(name)
        flat = code.reshape(len(code), -1).astype(np.float64)
        for probe in probes:
            prepared = [
                _prepared(flat, learn, probe, s)
                for (learn, _), s in zip(splits, seeds, strict=True)
            ]
            for factor in factors:
                scores = tuple(
                    _score(values, factor, _Split(learn, ask, pids[learn], seed), probe)
                    for values, (learn, ask), seed in zip(prepared, splits, seeds, strict=True)
                )
                yield Reading(
                    code=name,
                    factor=factor.name,
                    probe=probe,
                    scores=scores,
                    chance=_chance(factor),
                )


def raw_pixels(images: Images) -> NDArray[np.float64]:
    """Each image averaged down to 16 x 8 pixels, `(N, 384)`: a code that nobody trained."""
    rows, columns = _PIXELS
    count, height, width, channels = images.shape
    tall, wide = height // rows, width // columns
    cut = images[:, : rows * tall, : columns * wide].astype(np.float64)
    blocks = cut.reshape(count, rows, tall, columns, wide, channels).mean(axis=(2, 4))
    values: NDArray[np.float64] = blocks.reshape(count, -1) / 255
    return values


def disentanglement(readings: Sequence[Reading], probe: Probe = "linear") -> dict[str, float]:
    """How far each code knows one thing only, code → share (Eastwood and Williams, ICLR 2018).

    Their D with a whole code as one unit: 1 minus the entropy, in base of the number of factors,
    of what a code knows of each. A code that knows nothing has none.
    """
    table = _known(readings, probe)
    return {
        code: _concentration(np.array(list(known.values())))
        for code, known in table.items()
        if sum(known.values()) > 0
    }


def completeness(readings: Sequence[Reading], probe: Probe = "linear") -> dict[str, float]:
    """How far each factor is known by one code only, factor → share: their C."""
    table = _known(readings, probe)
    factors = dict.fromkeys(factor for known in table.values() for factor in known)
    shares = {f: np.array([known.get(f, 0.0) for known in table.values()]) for f in factors}
    return {f: _concentration(values) for f, values in shares.items() if values.sum() > 0}


def _known(readings: Sequence[Reading], probe: Probe) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for reading in readings:
        if reading.probe == probe:
            table.setdefault(reading.code, {})[reading.factor] = float(np.mean(reading.known))
    return table


def _concentration(values: NDArray[np.float64]) -> float:
    shares = values / values.sum()
    some = shares[shares > 0]
    return 1.0 if len(values) < 2 else float(1 + (some * np.log(some)).sum() / np.log(len(values)))


def _prepared(
    code: NDArray[np.float64], learn: NDArray[np.int64], probe: Probe, seed: int
) -> NDArray[np.float64]:
    """Scaled, and projected where it is wide, as the probe's own people say."""
    most = min(_LINEAR_WIDTH if probe == "linear" else _MLP_WIDTH, len(learn) - 1)
    steps: list[Any] = [StandardScaler()]
    if code.shape[1] > most:
        steps += [PCA(most, random_state=seed)]
    values = make_pipeline(*steps).fit(code[learn]).transform(code)
    known = values[learn]
    within: NDArray[np.float64] = np.clip(values, known.min(axis=0), known.max(axis=0))
    return within


class _Split(NamedTuple):
    """Rows of the images that teach a probe, and of those that it is asked about."""

    learn: NDArray[np.int64]
    ask: NDArray[np.int64]
    people: NDArray[np.int64]  # of `learn`
    seed: int

    def folds(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows of `learn`, without some of the people, and of these."""
        count = min(_FOLDS, len(np.unique(self.people)))
        return list(GroupKFold(count).split(self.people, groups=self.people))


def _score(code: NDArray[np.float64], factor: Factor, split: _Split, probe: Probe) -> float:
    learn, ask = split.learn, split.ask
    if factor.numbers is not None:
        targets = StandardScaler().fit(factor.numbers[learn]).transform(factor.numbers)
        answers = _read_numbers(probe, code[learn], targets[learn], code[ask], split)
        return float(r2_score(targets[ask], answers))
    assert factor.classes is not None
    classes = factor.classes
    if len(np.unique(classes[learn])) < 2:
        return _chance(factor)
    model = _classifier(probe, split)
    answers = _fitted(model, code[learn], classes[learn]).predict(code[ask])
    with warnings.catch_warnings():  # a class that only the answers have counts as wrong
        warnings.simplefilter("ignore", UserWarning)
        return float(balanced_accuracy_score(classes[ask], answers))


def _read_numbers(
    probe: Probe,
    code: NDArray[np.float64],
    targets: NDArray[np.float64],
    asked: NDArray[np.float64],
    split: _Split,
) -> NDArray[np.float64]:
    shape = (len(asked), targets.shape[1])
    line = _fitted(RidgeCV(alphas=_ALPHAS, cv=split.folds()), code, targets)
    answers: NDArray[np.float64] = line.predict(asked).reshape(shape)
    if probe == "linear":
        return answers
    left = targets - line.predict(code).reshape(targets.shape)
    rest = _fitted(_regressor(len(code), split.seed), code, left)
    answers += _borne_out(code, left, split) * rest.predict(asked).reshape(shape)
    return answers


def _borne_out(code: NDArray[np.float64], left: NDArray[np.float64], split: _Split) -> float:
    """The share, 0 to 1, of what a small network says that others than its people confirm."""
    some, others = split.folds()[0]
    said = _fitted(_regressor(len(some), split.seed), code[some], left[some])
    answers = said.predict(code[others]).reshape(len(others), -1)
    size = float((answers**2).sum())
    return float(np.clip((answers * left[others]).sum() / size, 0, 1)) if size else 0.0


def _regressor(images: int, seed: int) -> Any:
    return MLPRegressor(**_network(images, seed))


def _classifier(probe: Probe, split: _Split) -> Any:
    if probe == "linear":
        return RidgeClassifierCV(alphas=_ALPHAS, class_weight="balanced", cv=split.folds())
    return MLPClassifier(**_network(len(split.learn), split.seed))


def _network(images: int, seed: int) -> dict[str, Any]:
    return {
        "hidden_layer_sizes": (64,),
        "solver": "lbfgs",
        "max_iter": 100,
        "alpha": images / _IMAGES_PER_ALPHA,
        "random_state": seed,
    }


def _fitted(model: Any, code: NDArray[np.float64], targets: NDArray[Any]) -> Any:
    with warnings.catch_warnings():  # its length is part of the protocol
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(
            code, targets.ravel() if targets.ndim == 2 and targets.shape[1] == 1 else targets
        )


def _chance(factor: Factor) -> float:
    return 0.0 if factor.classes is None else 1 / len(np.unique(factor.classes))
