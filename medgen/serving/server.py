"""A served model over HTTP, by TensorFlow Serving's REST API, for a laptop or a container."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping

import anyio
import tensorflow as tf
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medgen.errors import MedgenError, RequestError
from medgen.serving.rest import (
    DEFAULT_SIGNATURE,
    Signature,
    metadata,
    read_request,
    status,
    write_answer,
)
from medgen.serving.signatures import ServedModel

VERSION = "1"
# Requests that are worked on at once, and that may wait with their bodies in memory; further ones
# are told to come back.
AT_ONCE = 2
WAITING = 8
RETRY_S = 5
# A client that sends its body no faster than this loses its place.
SECONDS_TO_SEND = 60
# What is being worked on when the server is stopped may take so long to finish.
SECONDS_TO_FINISH = 120
# Side of the slices that the model is tried on before it is announced.
TRIAL_SIDE = 16


class ModelServer:
    """Answers requests to one model.

    Args:
        model: what is served.
        name: under `/v1/models/`.
        max_bytes: of a request's body.
    """

    def __init__(self, model: ServedModel, name: str, max_bytes: int):
        self.name, self.max_bytes = name, max_bytes
        self.signatures = {
            key: Signature.of(function) for key, function in model.signatures().items()
        }
        self.trial_side = model.image_size or TRIAL_SIDE
        self.inside = 0
        self.working = anyio.CapacityLimiter(AT_ONCE)

    def app(self) -> Starlette:
        """The application."""
        model = "/v1/models/{name}"
        routes = [Route("/health", self.health)]
        for place in (model, model + "/versions/{version}"):
            routes += [
                Route(place + ":predict", self.predict, methods=["POST"]),
                Route(place + "/metadata", self.metadata),
                Route(place, self.status),
            ]
        handlers = {HTTPException: _http_error, RequestError: _bad_request, Exception: _failure}
        return Starlette(routes=routes, exception_handlers=handlers)

    def try_out(self) -> None:
        """Ask for one small slice, so that the first request finds everything in place."""
        signature = self.signatures[DEFAULT_SIGNATURE]
        slices = tf.zeros((1, self.trial_side, self.trial_side))
        signature.function(**{name: slices for name in signature.inputs} | signature.defaults)

    async def health(self, request: HTTPRequest) -> Response:
        """That the server is up, and how busy."""
        return JSONResponse({"status": "ok", "model": self.name, "requests": self.inside})

    async def status(self, request: HTTPRequest) -> Response:
        """The model's state."""
        self._require_model(request)
        return JSONResponse(status(VERSION))

    async def metadata(self, request: HTTPRequest) -> Response:
        """The model's signatures."""
        self._require_model(request)
        return JSONResponse(metadata(self.name, VERSION, self.signatures))

    async def predict(self, request: HTTPRequest) -> Response:
        """An answer of the model."""
        self._require_model(request)
        if self.inside >= AT_ONCE + WAITING:
            raise HTTPException(
                503, "The server is busy; try again later.", {"Retry-After": str(RETRY_S)}
            )
        self.inside += 1
        try:
            body = await self._body(request)
            async with self.working:
                answer = await run_in_threadpool(answered, body, self.signatures)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        finally:
            self.inside -= 1
        return Response(answer, media_type="application/json")

    async def _body(self, request: HTTPRequest) -> bytes:
        """The body, unless it is too long or takes too long."""
        too_long = HTTPException(
            413, f"A request may have {self.max_bytes} bytes; send fewer or smaller slices."
        )
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.max_bytes:
            raise too_long
        body = bytearray()
        try:
            with anyio.fail_after(SECONDS_TO_SEND):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self.max_bytes:
                        raise too_long
        except TimeoutError:
            raise HTTPException(408, f"The body took over {SECONDS_TO_SEND} s.") from None
        return bytes(body)

    def _require_model(self, request: HTTPRequest) -> None:
        name, version = request.path_params["name"], request.path_params.get("version", VERSION)
        if (name, version) != (self.name, VERSION):
            raise HTTPException(
                404, f"Here is {self.name}, version {VERSION}; got {name!r}, version {version!r}."
            )


def answered(body: bytes, signatures: Mapping[str, Signature]) -> bytes:
    """The answer to a `:predict` call.

    Raises:
        RequestError: the request makes no sense.
    """
    request = read_request(body, signatures)
    try:
        answer = request.signature.function(**request.tensors)
    except tf.errors.InvalidArgumentError as error:
        raise RequestError(_sentence(error)) from error
    except tf.errors.ResourceExhaustedError as error:
        raise RequestError("The slices do not fit into memory; send fewer at once.") from error
    return write_answer(request, answer)


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


def http_server(server: ModelServer) -> uvicorn.Server:
    """What `run(sockets=[...])` answers with until SIGINT or SIGTERM.

    Requests that are worked on then are finished first.
    """
    config = uvicorn.Config(
        server.app(),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
    return uvicorn.Server(config)


def _sentence(error: tf.errors.InvalidArgumentError) -> str:
    """What a failed assertion in the graph says; otherwise the first line."""
    found = re.search(r"assertion failed: \[([^\]]*)\]", error.message)
    return found[1] if found else error.message.splitlines()[0]


async def _http_error(request: HTTPRequest, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _bad_request(request: HTTPRequest, error: RequestError) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _failure(request: HTTPRequest, error: Exception) -> Response:
    """Of a bug; the traceback goes to the server's log."""
    return JSONResponse({"error": f"The server failed: {type(error).__name__}."}, 500)
