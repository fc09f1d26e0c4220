"""The inner loop of ranking: where the right answers stand, without sorting the gallery."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from crosslight.evaluation.exclusion import DROP_ALL, DROP_SAME_PERSON


def _count_rows(
    dist: Any,
    dist_rows: Any,
    queries: Any,
    query_id: Any,
    query_cam: Any,
    columns: Any,
    gallery_id: Any,
    gallery_cam: Any,
    dropped: Any,
    identities: int,
    starts: Any,
    ranks: Any,
    positives: Any,
    seen: Any,
    identity_rank: Any,
    top_index: Any,
    top_dist: Any,
) -> None:
    # One pass gathers the allowed entries and the right answers, a second one counts, per wrong
    # answer, how many right answers come after it. Order: (distance, position in the gallery).
    entries = len(columns)
    tops = top_index.shape[1]
    near = np.empty(entries, np.float64)
    kept = np.empty(entries, np.int64)
    right = np.empty(entries, np.int64)
    marked = np.full(identities, -1, np.int64)
    for n in range(len(queries)):
        q = queries[n]
        row = dist[dist_rows[n]]
        own, cam = query_id[q], query_cam[q]
        n_kept, n_right, n_top = 0, 0, 0
        for j in range(entries):
            rule = dropped[cam, gallery_cam[j]]
            if rule == DROP_ALL or (rule == DROP_SAME_PERSON and gallery_id[j] == own):
                continue
            d = row[columns[j]]
            if n_top < tops or (tops > 0 and d < top_dist[q, tops - 1]):
                at = n_top if n_top < tops else tops - 1
                while at > 0 and top_dist[q, at - 1] > d:
                    top_dist[q, at] = top_dist[q, at - 1]
                    top_index[q, at] = top_index[q, at - 1]
                    at -= 1
                top_dist[q, at] = d
                top_index[q, at] = j
                n_top = min(n_top + 1, tops)
            if gallery_id[j] == own:
                right[n_right] = n_kept
                n_right += 1
            near[n_kept] = d
            kept[n_kept] = j
            n_kept += 1
        seen[q] = n_kept
        positives[q] = n_right
        if n_right == 0:
            continue
        by_distance = np.argsort(near[right[:n_right]], kind="mergesort")
        places = right[:n_right][by_distance]
        limits = near[places]
        before = np.zeros(n_right + 1, np.int64)
        other_people = 0
        worst = limits[n_right - 1]
        for k in range(n_kept):
            d = near[k]
            who = gallery_id[kept[k]]
            if d > worst or who == own:
                continue
            low, high = 0, n_right
            while low < high:
                mid = (low + high) // 2
                if d < limits[mid] or (d == limits[mid] and k < places[mid]):
                    high = mid
                else:
                    low = mid + 1
            before[low] += 1
            if low == 0 and marked[who] != n:
                marked[who] = n
                other_people += 1
        total = 0
        for k in range(n_right):
            total += before[k]
            ranks[starts[q] + k] = total + k + 1
        identity_rank[q] = other_people + 1


@functools.cache
def compiled_count() -> Callable[..., None]:
    """The counting loop as machine code, compiled on first use and kept on disk where possible."""
    import numba

    try:
        compiled = numba.njit(cache=True, nogil=True)(_count_rows)
    except RuntimeError:  # no folder to keep the code in: a read-only installation
        compiled = numba.njit(nogil=True)(_count_rows)
    result: Callable[..., None] = compiled
    return result
