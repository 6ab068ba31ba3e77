"""`medgen cite`: what a paper says of a finer scan."""

from __future__ import annotations

import json
from pathlib import Path

import click

from medgen.errors import printable


@click.command(short_help="Print what a paper says of a finer scan, with references.")
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cite(output: Path, as_json: bool) -> None:
    """Print a methods paragraph on OUT and its references as BibTeX.

    OUT is what medgen interpolate wrote, the JSON file beside it, or a folder of such; scans that
    were made alike are told together. Citations stand in the paragraph as [@key].
    """
    from medgen.jobs.methods import bibtex, methods_of

    told = methods_of(output)
    keys = [key for each in told for key in each.keys]
    entries = bibtex(keys, told[-1].version)
    if as_json:
        paragraphs = [{"scans": each.scans, "paragraph": each.paragraph} for each in told]
        click.echo(json.dumps({"methods": paragraphs, "bibtex": entries}, indent=2))
        return
    for each in told:
        click.echo(printable(each.paragraph) + "\n")
    click.echo(entries)
