"""What tests of `crosslight leaderboard` share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def call_of(board: Path, data: Path, *more: str) -> list[str]:
    return ["leaderboard", str(board), "--data", f"sysu-mm01:{data}", *more]


def row_of(board: Path, system: str, name: str = "seed-0") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (board / "rows" / "sysu-mm01" / system / f"{name}.json").read_text()
    )
    return found
