"""What keeps a test from running: a part that could be installed, or the machine itself."""

from __future__ import annotations

import pytest


class IncapableError(pytest.skip.Exception):
    """No installation helps: processor, system or server cannot do what the test needs."""
