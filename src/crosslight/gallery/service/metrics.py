"""Counts and times of requests, in the text form that Prometheus reads."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the histogram of times."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What the service has done since it started. Used by the event loop's thread alone."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._in_time: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts an answered request.

        Args:
            method: GET or POST; others are counted together, as clients may invent them.
            route: Its pattern, never its path, so that the number of series is bounded.
            status: HTTP status.
            seconds: From the request's first byte to the answer's last.
        """
        kind = method if method in {"GET", "POST"} else "other"
        self._requests[kind, route, status] += 1
        self._seconds[route] += seconds  # type: ignore[assignment]
        for bound in BOUNDS_S:
            if seconds <= bound:
                self._in_time[route, bound] += 1

    def refused(self, reason: str) -> None:
        """Counts a request that a limit stopped; `reason` is one of a few words."""
        self._refused[reason] += 1

    def text(self, *, rows: int) -> str:
        """Every figure; `rows` is the number of images in the gallery."""
        return "\n".join((*self._lines(rows), ""))

    def _lines(self, rows: int) -> Iterator[str]:
        yield "# HELP crosslight_requests_total Answered requests."
        yield "# TYPE crosslight_requests_total counter"
        for (method, route, status), count in sorted(self._requests.items()):
            labels = f'method="{method}",route="{route}",status="{status}"'
            yield f"crosslight_requests_total{{{labels}}} {count}"
        yield "# HELP crosslight_request_seconds Time from a request to the end of its answer."
        yield "# TYPE crosslight_request_seconds histogram"
        counts: Counter[str] = Counter()
        for (_, route, _), count in self._requests.items():
            counts[route] += count
        for route, count in sorted(counts.items()):
            for bound in BOUNDS_S:
                labels = f'route="{route}",le="{bound:g}"'
                inside = self._in_time[route, bound]
                yield f"crosslight_request_seconds_bucket{{{labels}}} {inside}"
            yield f'crosslight_request_seconds_bucket{{route="{route}",le="+Inf"}} {count}'
            yield f'crosslight_request_seconds_sum{{route="{route}"}} {self._seconds[route]:.6f}'
            yield f'crosslight_request_seconds_count{{route="{route}"}} {count}'
        yield "# HELP crosslight_refused_total Requests stopped by a limit, by reason."
        yield "# TYPE crosslight_refused_total counter"
        for reason, count in sorted(self._refused.items()):
            yield f'crosslight_refused_total{{reason="{reason}"}} {count}'
        yield "# HELP crosslight_gallery_rows Images in the gallery."
        yield "# TYPE crosslight_gallery_rows gauge"
        yield f"crosslight_gallery_rows {rows}"
        resident = resident_bytes()
        if resident is not None:
            yield "# HELP process_resident_memory_bytes Memory of the process."
            yield "# TYPE process_resident_memory_bytes gauge"
            yield f"process_resident_memory_bytes {resident}"


def resident_bytes() -> int | None:
    """Memory of this process, or None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
