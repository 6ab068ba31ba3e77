"""`medgen models`: the trained models that come with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from medgen.cli.output import answer, json_option
from medgen.errors import BundleError

if TYPE_CHECKING:
    from medgen.bundles.released import ReleasedModel


@click.command(short_help="List the models that come with medgen.")
@click.argument("name", required=False)
@json_option
def models(name: str | None) -> None:
    """List the models that come with medgen, or print the card of the one called NAME.

    Those in the folders that the environment variable MEDGEN_MODELS names come behind.

    The card says what a model was trained on, under which licences, how, and what it reached.
    """
    from medgen.bundles.released import DEFAULT, released_models

    found = released_models()
    if name is not None:
        if name not in found:
            raise BundleError(f"No model is called {name!r}; there are {', '.join(found)}.")
        click.echo(found[name].card.rstrip())
        answer(_facts(found[name]) | {"card": found[name].card})
        return
    width = max(map(len, found), default=0)
    kinds = max((len(model.kind) for model in found.values()), default=0)
    for model in found.values():
        default = "default for " + model.modality.upper()
        note = default if DEFAULT.get(model.modality) == model.name else ""
        line = f"{model.name:<{width}}  {model.modality}  {model.kind:<{kinds}}"
        click.echo(f"{line}  {model.megabytes:4.1f} MB  {note}".rstrip())
    answer([_facts(model) for model in found.values()])


def _facts(model: ReleasedModel) -> dict[str, object]:
    from medgen.bundles.released import DEFAULT

    return {
        "name": model.name,
        "kind": model.kind,
        "modality": model.modality,
        "default": DEFAULT.get(model.modality) == model.name,
        "folder": model.folder,
        "megabytes": round(model.megabytes, 3),
    }
