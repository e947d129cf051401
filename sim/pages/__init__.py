# SPDX-License-Identifier: Apache-2.0
"""Reports as one HTML file each, which needs no network. Their templates extend ``base.html`` here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def rendered(template: Path, content: Mapping[str, Any]) -> str:
    """The text of a page.

    Args:
        template: its file.
        content: what the template calls by name, ``title`` among it.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(template.name).render(content)
