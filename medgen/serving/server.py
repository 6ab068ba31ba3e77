"""A served model over HTTP, by TensorFlow Serving's REST API, for a laptop or a container."""

from __future__ import annotations

from typing import Any

import anyio
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medgen.errors import RequestError, TooLargeError
from medgen.serving.batches import Batches, answers
from medgen.serving.bounds import Bounds
from medgen.serving.rest import (
    DEFAULT_SIGNATURE,
    Request,
    Signature,
    metadata,
    read_request,
    status,
    write_answer,
)
from medgen.serving.signatures import PIXELS_AT_ONCE, ServedModel
from medgen.web import read_body, too_long

VERSION = "1"
# Requests inside, and of how many times the largest size together; further ones are told to come
# back.
MOST_INSIDE = 72
LARGEST_INSIDE = 4
RETRY_S = 5
# Texts that are turned into arrays and back at a time.
TEXTS_AT_ONCE = 2
ADVICE = "send fewer or smaller slices"
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
        bounds: of what a request may ask for.
    """

    def __init__(self, model: ServedModel, name: str, max_bytes: int, bounds: Bounds):
        self.model, self.name, self.max_bytes, self.bounds = model, name, max_bytes, bounds
        self.signatures = {
            key: Signature.of(function, by_slice=key not in model.of_whole_scans)
            for key, function in model.signatures().items()
        }
        self.trial_side = model.image_size or TRIAL_SIDE
        self.inside = self.bytes_inside = 0
        self.texts = anyio.CapacityLimiter(TEXTS_AT_ONCE)
        self.batches = Batches(answers, PIXELS_AT_ONCE)

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
        handlers: dict[Any, Any] = {
            HTTPException: _http_error,
            RequestError: _bad_request,
            Exception: _failure,
        }
        return Starlette(routes=routes, exception_handlers=handlers)

    def try_out(self) -> None:
        """Ask for a small slice, so that the first request finds everything in place."""
        signature = self.signatures[DEFAULT_SIGNATURE]
        shape = (self.model.fewest_slices, self.trial_side, self.trial_side)
        slices = np.zeros(shape, np.float32)
        arrays = {name: slices for name in signature.inputs} | dict(signature.defaults)
        answers([Request(DEFAULT_SIGNATURE, signature, arrays, rows=False)])

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
        length = self._length(request)
        full = self.bytes_inside + length > LARGEST_INSIDE * self.max_bytes
        if full or self.inside >= MOST_INSIDE:
            raise HTTPException(
                503, "The server is busy; try again later.", {"Retry-After": str(RETRY_S)}
            )
        self.inside += 1
        self.bytes_inside += length
        try:
            asked = await self._asked(request)
            answer = await self.batches.answer(asked)
            text = await anyio.to_thread.run_sync(write_answer, asked, answer, limiter=self.texts)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        finally:
            self.inside -= 1
            self.bytes_inside -= length
        return Response(text, media_type="application/json")

    def _length(self, request: HTTPRequest) -> int:
        """Bytes that a request's body takes, or may take if it does not say."""
        told = request.headers.get("content-length", "")
        length = int(told) if told.isdecimal() else self.max_bytes
        if length > self.max_bytes:
            raise too_long(self.max_bytes, ADVICE)
        return length

    async def _asked(self, request: HTTPRequest) -> Request:
        """What a request asks, once it is known to be within bounds."""
        body = await read_body(request, max_bytes=self.max_bytes, advice=ADVICE)

        def parsed() -> Request:
            self.bounds.check_body(body)
            asked = read_request(body, self.signatures)
            shapes = {name: array.shape for name, array in asked.arrays.items()}
            slices = {name: shapes[name] for name in asked.slices}
            self.bounds.check(slices, self.model.asked(asked.name, shapes))
            return asked

        return await anyio.to_thread.run_sync(parsed, limiter=self.texts)

    def _require_model(self, request: HTTPRequest) -> None:
        name, version = request.path_params["name"], request.path_params.get("version", VERSION)
        if (name, version) != (self.name, VERSION):
            raise HTTPException(
                404, f"Here is {self.name}, version {VERSION}; got {name!r}, version {version!r}."
            )


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


async def _http_error(request: HTTPRequest, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _bad_request(request: HTTPRequest, error: RequestError) -> Response:
    return JSONResponse({"error": str(error)}, 413 if isinstance(error, TooLargeError) else 400)


async def _failure(request: HTTPRequest, error: Exception) -> Response:
    """Of a bug; the traceback goes to the server's log."""
    return JSONResponse({"error": f"The server failed: {type(error).__name__}."}, 500)
