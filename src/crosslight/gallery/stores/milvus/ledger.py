"""What is known beside the rows of a Milvus server: in the store's second collection.

Milvus has no transactions: two processes that change names at once may undo each other's changes,
and a crash may cut a change of many keys in two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymilvus import MilvusClient

from crosslight.errors import GalleryError
from crosslight.gallery.stores.ledger import Changes

KEY = "key"
TEXT = "text"
_AT_ONCE = 1_000
_LONGEST_TEXT = 65_535  # bytes, Milvus's limit

Ask = Callable[[Callable[[], Any]], Any]


class MilvusLedger:
    """See `crosslight.gallery.stores.ledger.Ledger`.

    Args:
        client: Of the server.
        collection: With a key, a text and a vector of two numbers.
        ask: Asks a question and turns complaints into sentences.
    """

    def __init__(self, client: MilvusClient, collection: str, ask: Ask) -> None:
        self._client, self._collection, self._ask = client, collection, ask

    def get(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        """As `Ledger.get`."""
        keys = [f"{kind}/{name}" for name in names]
        found: dict[str, Any] = {}
        for start in range(0, len(keys), _AT_ONCE):
            listed = ", ".join(f'"{key}"' for key in keys[start : start + _AT_ONCE])
            found |= self._read(f"{KEY} in [{listed}]")
        return found

    def every(self, kind: str) -> dict[str, Any]:
        """As `Ledger.every`."""
        return dict(sorted(self._read(f'{KEY} like "{kind}/%"').items()))

    @contextmanager
    def changing(self) -> Iterator[Changes]:
        """As `Ledger.changing`, written when the block has ended well."""
        changes = _Changes(self)
        yield changes
        puts = [
            {KEY: key, TEXT: value, "vector": [0.0, 0.0]}
            for key, value in changes.changed.items()
            if value is not None
        ]
        for start in range(0, len(puts), _AT_ONCE):
            part = puts[start : start + _AT_ONCE]
            self._ask(lambda part=part: self._client.upsert(self._collection, part))  # type: ignore[misc]
        gone = [key for key, value in changes.changed.items() if value is None]
        for start in range(0, len(gone), _AT_ONCE):
            ids = gone[start : start + _AT_ONCE]
            self._ask(lambda ids=ids: self._client.delete(self._collection, ids=ids))  # type: ignore[misc]

    def tidy(self) -> None:
        """Asks the server to compact; when it deletes its files is its own affair."""
        self._ask(lambda: self._client.compact(self._collection))

    def _read(self, condition: str) -> dict[str, Any]:
        iterator = self._ask(
            lambda: self._client.query_iterator(
                self._collection,
                batch_size=_AT_ONCE,
                filter=condition,
                output_fields=[KEY, TEXT],
                consistency_level="Strong",
            )
        )
        found: dict[str, Any] = {}
        try:
            while part := self._ask(iterator.next):
                found.update((row[KEY].partition("/")[2], json.loads(row[TEXT])) for row in part)
        finally:
            iterator.close()
        return found


class _Changes:
    def __init__(self, ledger: MilvusLedger) -> None:
        self._ledger = ledger
        self.changed: dict[str, str | None] = {}

    def get(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        wanted = list(names)
        kept = self._with_changes(kind, self._ledger.get(kind, wanted))
        return {name: kept[name] for name in wanted if name in kept}

    def every(self, kind: str) -> dict[str, Any]:
        return self._with_changes(kind, self._ledger.every(kind))

    def put(self, kind: str, name: str, value: Any) -> None:
        text = json.dumps(value)
        if len(text.encode()) > _LONGEST_TEXT:
            raise GalleryError(
                f"A note or list of {len(text)} characters is more than Milvus keeps; shorten it."
            )
        self.changed[f"{kind}/{name}"] = text

    def drop(self, kind: str, name: str) -> None:
        self.changed[f"{kind}/{name}"] = None

    def _with_changes(self, kind: str, kept: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(kept)
        for key, value in self.changed.items():
            of, _, name = key.partition("/")
            if of == kind and value is None:
                found.pop(name, None)
            elif of == kind and value is not None:
                found[name] = json.loads(value)
        return found
