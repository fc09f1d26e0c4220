"""The API against requests made from its own description: no failure, nothing undescribed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.limits import Limits
from tests.gallery.served import encoded, made_searcher, picture, row_id

schemathesis = pytest.importorskip("schemathesis", reason="say: pip install 'crosslight[dev]'")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")

EXAMPLES = 30
LOCAL = {"host": "127.0.0.1"}
CALLS = [
    ("POST", "/api/search"),
    ("POST", "/api/boxes"),
    ("POST", "/api/same"),
    ("POST", "/api/draw"),
    ("GET", "/api/gallery"),
    ("GET", "/api/rows"),
    ("DELETE", "/api/rows"),
    ("GET", "/api/picture"),
    ("GET", "/api/people"),
    ("GET", "/api/who"),
    ("PUT", "/api/person"),
    ("PUT", "/api/camera"),
    ("POST", "/api/label"),
    ("POST", "/api/merge"),
    ("POST", "/api/split"),
    ("GET", "/api/proposals"),
    ("POST", "/api/apart"),
    ("PUT", "/api/mark"),
    ("POST", "/api/marks/clear"),
    ("GET", "/api/marks.csv"),
    ("GET", "/api/session"),
    ("POST", "/api/session"),
    ("GET", "/health"),
    ("GET", "/metrics"),
]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    searcher = made_searcher(folder / "people.exact", people=2, drawing=True)
    limits = Limits(searches_per_minute=10**9, reads_per_minute=10**9)
    app = create_app(searcher, limits=limits)
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=LOCAL)


def test_the_list_of_calls_is_whole(schema) -> None:
    described = {
        (method.upper(), path)
        for path, methods in schema.raw_schema["paths"].items()
        for method in methods
    }
    assert described == set(CALLS)


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_no_described_request_makes_it_fail(schema, method: str, path: str) -> None:
    """Schemathesis checks status, content type, form and headers against the description."""
    real = st.sampled_from([None, "image", "row"])

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method].as_strategy(), given_instead=real)
    def requests(case: Any, given_instead: str | None) -> None:
        # A made-up image or id ends at the first check; real ones reach what is behind.
        if given_instead and isinstance(case.body, dict):
            case.body.pop("image", None)
            case.body.pop("row", None)
            if path == "/api/same":
                case.body["first"], given_instead = encoded(picture(0, 1)), "second"
            real_image = encoded(picture(0, 1))
            whole = {"image": real_image, "second": real_image, "row": row_id(0, 1)}
            if path == "/api/boxes":
                given_instead = "image"
            case.body[given_instead] = whole[given_instead]
        # No schema can say that bytes are an image, or that just one of two fields is there.
        unsaid = [checks.positive_data_acceptance]
        case.call_and_validate(headers=LOCAL, excluded_checks=unsaid)

    requests()
