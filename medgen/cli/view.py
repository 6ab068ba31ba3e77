"""`medgen view`, and what `medgen interpolate --view` does in the end."""

from __future__ import annotations

import os
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medgen.cli.options import reading_options
from medgen.cli.output import answer, json_option
from medgen.errors import printable

if TYPE_CHECKING:
    from medgen.viewing.scene import Scene

HOST = "127.0.0.1"


@click.command(short_help="Look at a scan and what was made of it, in a browser.")
@click.argument("scan", type=click.Path(path_type=Path))
@click.argument("outputs", nargs=-1, metavar="[OUT]...", type=click.Path(path_type=Path))
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    help="Marks the synthetic slices of OUT, as --mask of `interpolate` wrote it. By default what "
    "OUT.json tells.",
)
@click.option(
    "--uncertainty",
    type=click.Path(path_type=Path),
    help="Maps to lay over OUT: what --uncertainty of `interpolate` was given.",
)
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, 65535),
    help="Of the page's address. [default: a free one]",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@reading_options
@json_option
def view(
    scan: Path,
    outputs: tuple[Path, ...],
    mask: Path | None,
    uncertainty: Path | None,
    port: int,
    no_browser: bool,
    volume: int | None,
    series: str | None,
    modality: str | None,
    intercept: float | None,
) -> None:
    """Show SCAN and each OUT made of it side by side, until Ctrl-C.

    The page moves, zooms and windows all of them together, marks synthetic slices, and turns to
    linear interpolation of SCAN and back at a key. It is served to this machine alone, under an
    address that nobody guesses, and loads nothing from elsewhere.
    """
    from medgen.viewing.scene import open_scene
    from medgen.volumes import read_volume

    volume_of_scan = read_volume(
        scan, volume=volume, series=series, modality=modality, intercept=intercept
    )
    scene = open_scene(
        scan.name, volume_of_scan, outputs, mask=mask, uncertainty=uncertainty, modality=modality
    )
    show(scene, port=port, browser=not no_browser)


def show(scene: Scene, *, port: int = 0, browser: bool = True) -> None:
    """Serve a scene until Ctrl-C, and open a browser on it where there is a screen."""
    from medgen.viewing.server import Viewer
    from medgen.web import answer_until_stopped, ending_in_order, listening_socket

    for sentence in scene.notes:
        click.echo(f"Note: {printable(sentence)}", err=True)
    with (
        ending_in_order(),
        listening_socket(HOST, port) as listening,
        tempfile.TemporaryDirectory(prefix="medgen-view-") as folder,
    ):
        viewer = Viewer(scene, Path(folder))
        address = f"http://{HOST}:{listening.getsockname()[1]}{viewer.path}"
        click.echo(f"Look at {address}; Ctrl-C stops.")
        answer({"url": address})
        if browser and _has_a_screen():
            webbrowser.open(address)
        answer_until_stopped(viewer.app(), listening)
    click.echo("The viewer has ended; nothing of the scans is left behind.")


def _has_a_screen() -> bool:
    """Whether a browser would open a window, not take over the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
