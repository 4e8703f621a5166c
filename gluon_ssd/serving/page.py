"""The page at ``/``: one HTML file that needs nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from ..report.draw import palette_colour


class Page(NamedTuple):
    """The HTML, and the headers that go with it."""

    text: str
    headers: dict[str, str]


def page(classes: Sequence[str]) -> Page:
    """Returns the page for a detector of these classes.

    Its headers allow no script and no style but its own, and no connection but to this server.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gluon_ssd", "serving"), autoescape=True, undefined=StrictUndefined
    )
    loader = environment.loader
    assert loader is not None
    style, script = (loader.get_source(environment, name)[0] for name in ("page.css", "page.js"))
    colours = [palette_colour(number) for number in range(len(classes))]
    text = environment.get_template("page.html").render(style=style, script=script, colours=colours)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    return Page(text, {**headers, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"})


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
