"""What the pages of all reports have in common: how templates are filled in, and pictures."""

from __future__ import annotations

import io
import re

import jinja2
from markupsafe import Markup, escape
from matplotlib.figure import Figure


def page_environment(*packages: str) -> jinja2.Environment:
    """Templates of packages, the first that has one, with filters for what all pages show alike."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    environment.filters["percent"] = lambda share: "–" if share is None else f"{100 * share:.0f}"
    environment.filters["pvalue"] = shown_p
    return environment


def breakable(name: str) -> Markup:
    """A long name, escaped, that a line of the page may end in behind punctuation."""
    return Markup(re.sub(r"([-_:,=/.])", r"\1<wbr>", str(escape(name))))


def shown_p(p: float) -> str:
    """A p-value as tables have it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def png_of(figure: Figure, *, dpi: int) -> bytes:
    """A figure as PNG, the same bytes whenever it is drawn."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi, metadata={"Software": None})
    return png.getvalue()
