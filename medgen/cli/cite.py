"""`medgen cite`: what a paper says of a finer scan."""

from __future__ import annotations

from pathlib import Path

import click

from medgen.cli.output import answer, json_option
from medgen.errors import printable


@click.command(short_help="Print what a paper says of a finer scan, with references.")
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@json_option
def cite(output: Path) -> None:
    """Print a methods paragraph on OUT and its references as BibTeX.

    OUT is what medgen interpolate wrote, the JSON file beside it, or a folder of such; scans that
    were made alike are told together. Citations stand in the paragraph as [@key].
    """
    from medgen.jobs.methods import bibtex, methods_of

    told = methods_of(output)
    keys = [key for each in told for key in each.keys]
    entries = bibtex(keys, told[-1].version)
    for each in told:
        click.echo(printable(each.paragraph) + "\n")
    click.echo(entries)
    paragraphs = [{"scans": each.scans, "paragraph": each.paragraph} for each in told]
    answer({"methods": paragraphs, "bibtex": entries})
