"""`medgen serve`."""

from __future__ import annotations

import os

import click

from medgen.cli.device import device_option
from medgen.cli.output import answer, json_option
from medgen.cli.places import trained_model

MEGABYTE = 10**6


@click.command(short_help="Answer requests for slices over HTTP.")
@click.argument("model", metavar="NAME|BUNDLE")
@click.option(
    "--port", default=8501, show_default=True, type=click.IntRange(0, 65535), help="0: a free one."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 for all, as in a container.",
)
@click.option("--name", help="Of the model in the addresses. [default: its folder's]")
@click.option(
    "--max-request",
    "max_megabytes",
    default=64,
    show_default=True,
    type=click.IntRange(1),
    metavar="MB",
    help="Largest request.",
)
@click.option(
    "--max-voxels",
    default=16 * 512 * 512,
    show_default="16 slices of 512 x 512",
    type=click.IntRange(1),
    metavar="N",
    help="Most that a request may ask for.",
)
@device_option
@json_option
def serve(
    model: str, port: int, host: str, name: str | None, max_megabytes: int, max_voxels: int
) -> None:
    """Serve a trained model by TensorFlow Serving's REST API until Ctrl-C.

    Anyone who reaches the address can use it: there is neither login nor encryption.
    """
    # Before TensorFlow is loaded: oneDNN gives no memory back, and keeps a program for every shape.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

    from medgen.serving.bounds import Bounds
    from medgen.serving.server import ModelServer, http_server
    from medgen.web import listening_socket

    with listening_socket(host, port) as listening:
        _, bundle = trained_model(model)
        server = ModelServer(
            bundle.family.served(bundle),
            name or bundle.name,
            max_megabytes * MEGABYTE,
            Bounds(voxels=max_voxels),
        )
        server.try_out()
        address = f"http://{host}:{listening.getsockname()[1]}"
        click.echo(f"{bundle.name} at {address}/v1/models/{server.name}; Ctrl-C stops.")
        answer({"model": bundle.name, "url": f"{address}/v1/models/{server.name}"})
        http_server(server).run(sockets=[listening])
