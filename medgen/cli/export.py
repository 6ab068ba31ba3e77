"""`medgen export`."""

from __future__ import annotations

from pathlib import Path

import click

from medgen.cli.output import answer, json_option
from medgen.cli.places import check_folder, trained_model


@click.command(short_help="Write a model as a SavedModel for TensorFlow Serving.")
@click.argument("model", metavar="NAME|BUNDLE")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR",
    help="Folder of the served model; versions are its subfolders.",
)  # fmt: skip
@json_option
def export(model: str, output: Path) -> None:
    """Write a trained model with its sampler as the next version in DIR: DIR/1 at first.

    It loads wherever TensorFlow does, medgen not needed.
    """
    check_folder(output)

    folder, bundle = trained_model(model)

    from medgen.bundles.bundle import CARD
    from medgen.serving.export import export_bundle

    card = folder / CARD
    version = export_bundle(bundle, output, card=card.read_text() if card.is_file() else "")
    megabytes = sum(p.stat().st_size for p in version.rglob("*") if p.is_file()) / 1e6
    names = ", ".join(bundle.family.served(bundle).signatures())
    click.echo(f"{version}: {bundle.name} with {names}, {megabytes:.1f} MB")
    answer(
        {
            "output": version,
            "model": bundle.name,
            "signatures": names.split(", "),
            "megabytes": round(megabytes, 3),
        }
    )
