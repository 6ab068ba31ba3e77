"""What every server of a page on this machine has: its socket, who may ask, how it ends."""

from __future__ import annotations

import signal
import socket

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medgen.errors import MedgenError

# Names under which a browser reaches a server on its own machine, or one at the end of a tunnel.
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# A page may load what the server itself has, and nothing from anywhere else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
# What is being sent when a server of pages is stopped may take so long.
SECONDS_TO_FINISH = 2


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port`; 0 takes a free one.

    Raises:
        MedgenError: the port is in use or the address not this machine's.
    """
    try:
        return socket.create_server((host, port), backlog=1024)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MedgenError(
            f"Cannot listen on {host}, port {port} ({reason}); choose another --port or --host."
        ) from error


class Guarded:
    """An application for requests to hosts that are known by name, whose answers have `HEADERS`.

    A page from elsewhere whose name was made to lead to this machine (DNS rebinding) sends that
    name, and is refused.

    Args:
        app: what answers.
        hosts: names, as in an address; whatever port they are reached at.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = LOOPBACK):
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), text.encode()) for name, text in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        asked = b"".join(value for name, value in scope["headers"] if name == b"host")
        name, _, port = asked.decode("latin-1").rpartition(":")
        known = (name if port.isdecimal() else asked.decode("latin-1")) in self.hosts
        app = self.app if known else PlainTextResponse("This is not the host here.", 421)
        await app(scope, receive, send_guarded)


def answer_until_stopped(app: ASGIApp, listening: socket.socket) -> None:
    """Serve `app` until SIGINT or SIGTERM, after which the caller goes on to clear up."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
    # The server gives back the signals that it took, and SIGTERM would end the process at once.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
