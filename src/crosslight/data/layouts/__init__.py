"""Published layouts: one reader per data set, all giving a sample table."""

from crosslight.data.layouts.catalogue import (
    LAYOUTS,
    get_layout,
    layout_names,
    parse_data_argument,
    read_layout,
    recognise,
)
from crosslight.data.layouts.contract import Expected, Layout, Search

__all__ = [
    "LAYOUTS",
    "Expected",
    "Layout",
    "Search",
    "get_layout",
    "layout_names",
    "parse_data_argument",
    "read_layout",
    "recognise",
]
