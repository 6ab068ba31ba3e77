"""`medgen read`."""

from __future__ import annotations

from pathlib import Path

import click

from medgen.cli.output import answer, json_option


@click.command(short_help="Ask readers the questions of a study, in their browsers.")
@click.argument("study", metavar="STUDY", type=click.Path(path_type=Path))
@click.option(
    "--port", default=8600, show_default=True, type=click.IntRange(0, 65535), help="0: a free one."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 for all of this machine's.",
)
@click.option(
    "--hostname",
    "hostnames",
    multiple=True,
    metavar="NAME",
    help="Under which readers reach this machine (repeatable); numeric addresses and this "
    "machine's own name need none.",
)
@json_option
def read(study: Path, port: int, host: str, hostnames: tuple[str, ...]) -> None:
    """Serve the page of a reader study until Ctrl-C.

    Readers enter the codes in STUDY/codes.csv, one for each. Answers are stored in
    STUDY/answers.sqlite as they come, so the server can be ended and started at any time. It does
    not encrypt; on a network, put it behind something that does.
    """
    import socket

    from medgen.study.server import StudyServer
    from medgen.web import (
        LOOPBACK,
        Guarded,
        answer_until_stopped,
        ending_in_order,
        listening_socket,
    )

    server = StudyServer(study)
    own = socket.gethostname()
    with ending_in_order(), listening_socket(host, port) as listening:
        shown = own if host == "0.0.0.0" else host
        readers = len(server.study.readers)
        address = f"http://{shown}:{listening.getsockname()[1]}"
        click.echo(
            f"{study} for {readers} reader{'s' * (readers != 1)} at {address}; Ctrl-C stops."
        )
        answer({"study": study, "readers": readers, "url": address})
        app = Guarded(server.app(), (*LOOPBACK, host, own, *hostnames), numeric=True)
        answer_until_stopped(app, listening)
    server.answers.close()
