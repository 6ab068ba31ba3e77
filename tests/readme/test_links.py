"""Links and paths that pages name lead somewhere; those between pages of docs/ Sphinx checks."""

import json
import re
from pathlib import Path

import pytest
from shown import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
# Paths of the repository in backticks, which are no roles of Sphinx.
NAMED = re.compile(r"(?<!})`((?:docs|notebooks|benchmarks|tests|medgen|models)/[^`\s]*)`")
PAGES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "models/*/README.md", "notebooks/*.ipynb")
    for path in sorted(ROOT.glob(pattern))
]


def text_of(page: Path) -> str:
    """What a page says; of a notebook, its cells of text."""
    if page.suffix != ".ipynb":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub and MyST make them."""
    headings = re.findall(
        r"^#+ +(.+)$", re.sub(r"^```.*?^```$", "", text_of(page), flags=re.M | re.S), re.M
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere, and paths of nothing."""
    text, found = text_of(page), []
    for link in LINK.findall(text):
        target, _, anchor = link.partition("#")
        path = page.parent / target if target else page
        if re.match(r"[a-z]+:", link):
            continue
        if not path.exists() or (anchor and anchor not in anchors(path)):
            found.append(link)
    for name in NAMED.findall(text):
        if not any(ROOT.glob(name.split("::")[0].rstrip("/"))):
            found.append(name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_paths_lead_somewhere(page):
    assert broken(page) == []


def test_what_leads_nowhere_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, of two `words`\n"
        "[a](page.md#a-heading-of-two-words) [b](#nothing) [c](no.md)\n"
        "[d](https://example.org) `docs/index.md` `docs/no.md` `models/*/README.md`\n"
    )
    assert broken(page) == ["#nothing", "no.md", "docs/no.md"]
