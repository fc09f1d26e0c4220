"""What features without any knowledge would score: the exact expectation over random orders.

Every query's allowed gallery of n images, s of them right, is put into a uniformly random order.

- Rank-k on images: 1 minus the hypergeometric chance that k draws hold no right image.
- Average precision: E[precision at a positive] summed over ranks gives
  (H_n + (s - 1)(n - H_n)/(n - 1)) / n with the harmonic number H_n; the precision just before a
  positive has the expectation s/n.
- Inverse negative penalty: s E[1/R] with P(R = r) = C(r - 1, s - 1) / C(n, s), R the last positive.
- Rank-k on people: give each image a uniform time. The query's person appears at time t with
  density s(1 - t)^(s - 1); person j is there before with 1 - (1 - t)^c_j, independently, so their
  number is Poisson-binomial. The integrand is a polynomial in 1 - t, for which Gauss-Legendre
  quadrature is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.special import roots_legendre

from crosslight.evaluation.protocols.scores import TrialScores, summarise
from crosslight.evaluation.ranking import CmcKind, Labels, Trial
from crosslight.evaluation.ranking.distances import FloatArray, IntArray
from crosslight.evaluation.ranking.exclusion import DROP_ALL, KEEP, Exclusion
from crosslight.evaluation.scoring import AveragePrecision

_EXACT_UP_TO_DEGREE = 1000
_NODES_STEP = 32

Memo = dict[tuple[int, int, bytes], FloatArray]


@dataclass(kw_only=True)
class ChanceLevel:
    """Expected scores of trials; what is worked out for one serves the next.

    Attributes:
        cmc: Whether rank-k counts images or people.
        average_precision: The rule of the area.
    """

    cmc: CmcKind
    average_precision: AveragePrecision
    _curves: dict[tuple[object, ...], FloatArray] = field(default_factory=dict)
    _penalties: dict[tuple[int, int], float] = field(default_factory=dict)
    _arrivals: Memo = field(default_factory=dict)

    def of_trial(
        self, trial: Trial, query: Labels, gallery: Labels, exclusion: Exclusion, length: int
    ) -> TrialScores:
        """The expectation of every score of one trial, over its valid queries; 0 without any.

        Args:
            trial: The drawing.
            query: Labels of the query table.
            gallery: Labels of the gallery table.
            exclusion: The camera rule.
            length: Entries of the CMC curve.
        """
        pids = np.concatenate([query.pids[trial.queries], gallery.pids[trial.gallery]])
        people, person = np.unique(pids, return_inverse=True)
        query_id, gallery_id = np.split(person, [len(trial.queries)])
        query_cams, query_cam = np.unique(query.cams[trial.queries], return_inverse=True)
        gallery_cams, gallery_cam = np.unique(gallery.cams[trial.gallery], return_inverse=True)
        rule_of = exclusion.table(query_cams, gallery_cams)[:, gallery_cam]
        curve = np.zeros(length)
        precision = penalty = 0.0
        valid = 0
        for cam in range(len(query_cams)):
            rule = rule_of[cam]
            images = np.bincount(gallery_id[rule != DROP_ALL], minlength=len(people))
            right = np.bincount(gallery_id[rule == KEEP], minlength=len(people))
            who, times = np.unique(query_id[query_cam == cam], return_counts=True)
            for pid, queries in zip(who.tolist(), times.tolist(), strict=True):
                s = int(right[pid])
                if s == 0:
                    continue
                n = int(images.sum() - images[pid]) + s
                others = np.delete(images, pid)
                valid += queries
                curve += queries * self._curve(n, s, others[others > 0], length)
                precision += queries * expected_average_precision(n, s, self.average_precision)
                penalty += queries * self._penalty(n, s)
        scored = max(valid, 1)
        return summarise(
            cmc=curve / scored,
            average_precision=precision / scored,
            inverse_negative_penalty=penalty / scored,
            valid=valid,
            invalid=len(trial.queries) - valid,
        )

    def _curve(self, n: int, s: int, others: IntArray, length: int) -> FloatArray:
        key: tuple[object, ...] = (n, s, length)
        if self.cmc == "identity":
            others = np.sort(others)
            key = (s, length, others.tobytes())
        if key not in self._curves:
            self._curves[key] = (
                expected_image_cmc(n, s, length)
                if self.cmc == "image"
                else expected_identity_cmc(s, others, length, self._arrivals)
            )
        return self._curves[key]

    def _penalty(self, n: int, s: int) -> float:
        if (n, s) not in self._penalties:
            self._penalties[n, s] = expected_inverse_negative_penalty(n, s)
        return self._penalties[n, s]


def expected_image_cmc(n: int, s: int, length: int) -> FloatArray:
    """P(the first of s right among n images stands at rank k or before), k = 1..length."""
    drawn = np.arange(length)
    missed = np.clip(n - s - drawn, 0, None) / np.maximum(n - drawn, 1)
    return np.asarray(1.0 - np.cumprod(missed), dtype=np.float64)


def expected_average_precision(n: int, s: int, kind: AveragePrecision) -> float:
    """E[average precision] of s right among n images."""
    harmonic = _harmonic(n)
    rectangular = harmonic / n
    if s > 1:
        rectangular += (s - 1) / (n - 1) * (n - harmonic) / n
    return rectangular if kind == "rectangular" else (rectangular + s / n) / 2


def expected_inverse_negative_penalty(n: int, s: int) -> float:
    """E[s / rank of the last of s right among n images]."""
    last = np.arange(n, s - 1, -1)
    # P(R = r) / P(R = r + 1) = (r - s + 1) / r, from P(R = n) = s / n downwards.
    probability = s / n * np.cumprod(np.concatenate([[1.0], (last[1:] - s + 1) / last[1:]]))
    return float(s * np.sum(probability / last))


def expected_identity_cmc(
    s: int, others: IntArray, length: int, memo: Memo | None = None
) -> FloatArray:
    """P(the query's person is among the first k people), k = 1..length.

    Args:
        s: Right images.
        others: Images of each other person, each at least 1.
        length: Entries of the curve.
        memo: Keeps what depends on the others alone from one call to the next.
    """
    # Orders of first appearances do not change when every count is divided by a common divisor.
    divisor = math.gcd(s, *others.tolist())
    s, counts = s // divisor, others // divisor
    degree = s - 1 + int(counts.sum())
    nodes = degree // 2 + 1
    if degree > _EXACT_UP_TO_DEGREE:
        # On [0, 1] v^N is a polynomial of degree 16 sqrt(N) up to less than rounding.
        nodes = min(nodes, max(_EXACT_UP_TO_DEGREE // 2, math.ceil(8 * math.sqrt(degree))))
    nodes = -(-nodes // _NODES_STEP) * _NODES_STEP
    points, weights = roots_legendre(nodes)
    v = (points + 1) / 2
    memo = {} if memo is None else memo
    key = (length, nodes, counts.tobytes())
    if key not in memo:
        memo[key] = _fewer_arrived(v, counts, length)
    density = weights / 2 * s * v ** (s - 1)
    curve: FloatArray = np.minimum(memo[key] @ density, 1.0)
    return curve


def _fewer_arrived(v: FloatArray, counts: IntArray, length: int) -> FloatArray:
    """`[k - 1, i]`: P(fewer than k people have an image before time 1 - v[i]), k = 1..length."""
    arrived = np.zeros((length, len(v)))
    arrived[0] = 1.0
    for count in counts.tolist():
        absent = v**count
        newly = arrived[:-1] * (1.0 - absent)
        arrived *= absent
        arrived[1:] += newly
    return np.cumsum(arrived, axis=0)


def _harmonic(n: int) -> float:
    return float(np.sum(1.0 / np.arange(n, 0, -1)))
