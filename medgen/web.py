"""What every server of a page on this machine has: its socket, who may ask, how it ends."""

from __future__ import annotations

import ipaddress
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import anyio
import uvicorn
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
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
# What changes nothing.
HARMLESS = ("GET", "HEAD")
# A client that sends its body no faster than this loses its place.
SECONDS_TO_SEND = 60
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


async def read_body(request: Request, *, max_bytes: int, advice: str) -> bytes:
    """The body of a request.

    Args:
        request: whose body has not been read.
        max_bytes: most that it may have.
        advice: what to do about one that has more.

    Raises:
        HTTPException: 413 where it is too long, 408 where it takes too long.
    """
    body = bytearray()
    try:
        with anyio.fail_after(SECONDS_TO_SEND):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise too_long(max_bytes, advice)
    except TimeoutError:
        raise HTTPException(408, f"The body took over {SECONDS_TO_SEND} s.") from None
    return bytes(body)


def too_long(max_bytes: int, advice: str) -> HTTPException:
    """The answer to a request with a longer body."""
    return HTTPException(413, f"A request may have {max_bytes} bytes; {advice}.")


class Guarded:
    """An application for requests to hosts that are known by name, whose answers have `HEADERS`.

    A page from elsewhere whose name was made to lead to this machine (DNS rebinding) sends that
    name, and is refused. So is what a page from elsewhere asks to have changed.

    Args:
        app: what answers.
        hosts: names, as in an address; whatever port they are reached at.
        numeric: whether every numeric address is known: no name can be made to lead to one.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = LOOPBACK, *, numeric: bool = False):
        self.app, self.numeric = app, numeric
        self.hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), text.encode()) for name, text in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        headers = Headers(scope=scope)
        app = self.app
        if not self._knows(headers.get("host", "")):
            app = PlainTextResponse("This is not the host here.", 421)
        elif scope["method"] not in HARMLESS and not _is_from_here(headers):
            app = PlainTextResponse("Only a page from here may ask for that.", 403)
        await app(scope, receive, send_guarded)

    def _knows(self, asked: str) -> bool:
        name, _, port = asked.lower().rpartition(":")
        name = name if port.isdecimal() else asked.lower()
        return name in self.hosts or (self.numeric and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _is_from_here(headers: Headers) -> bool:
    """Whether a page of this host asks, or no page at all.

    Browsers tell it themselves where the connection is safe; a proxy may have changed `Host` then.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers["host"].lower()


def answer_until_stopped(app: ASGIApp, listening: socket.socket) -> None:
    """Serve `app` until SIGINT or SIGTERM, to be called `ending_in_order`."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Within, SIGTERM is as Ctrl-C, and either of them ends the context with all that it opened.

    A server gives back the signals that it took, and SIGTERM would then end the process at once.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
