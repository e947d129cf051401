# SPDX-License-Identifier: Apache-2.0
"""One profile of hypothesis for all tests: no deadlines, which a loaded machine misses."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("golden", deadline=None)
settings.load_profile("golden")
