"""A reader study over HTTP: one page, and what it asks for by the code of a reader."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from medgen.errors import RequestError, StudyError
from medgen.study.answers import ANSWER, BEGIN, UNDO, Answers, OutOfTurnError
from medgen.study.progress import Standing, answer_in, profile_in, screen_in, turn_in
from medgen.study.study import ANSWERS, load_codes, load_study, open_pictures
from medgen.web import read_body

COOKIE = "medgen-reader"  # and a mark of the study: other ports of a host see it, too
MAX_BYTES = 4096
ADVICE = "a page of this server sends less"
# A reader may come back to a study after so long without the code.
COOKIE_SECONDS = 30 * 86_400
PAGE = Path(__file__).with_name("page")
FILES = {
    "/": ("index.html", "text/html"),
    "/study.js": ("study.js", "text/javascript"),
    "/panes.js": ("panes.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class StudyServer:
    """Asks readers the questions of one study and stores what they answer.

    All that it knows of a reader's progress is in the file of answers, so it can be ended and
    started at any moment, and run twice.

    Args:
        folder: of the study.

    Raises:
        StudyError: the folder holds no study, or is damaged.
    """

    def __init__(self, folder: Path):
        self.study = load_study(folder)
        codes = load_codes(folder)
        if len(codes) != len(self.study.readers):
            raise StudyError(
                f"{folder} has {len(codes)} codes for {len(self.study.readers)} readers; prepare "
                "the study anew."
            )
        self.readers = {_hidden(code): reader for reader, code in enumerate(codes)}
        mark = hashlib.sha256(b"".join(sorted(self.readers))).hexdigest()[:8]
        self.cookie = f"{COOKIE}-{mark}"
        self.pictures = [open_pictures(folder, scan) for scan in self.study.scans]
        self.answers = Answers(folder / ANSWERS)

    def app(self) -> Starlette:
        """The application."""
        routes = [Route(path, _file(*file)) for path, file in FILES.items()]
        routes += [
            Route("/api/enter", self.enter, methods=["POST"]),
            Route("/api/leave", self.leave, methods=["POST"]),
            Route("/api/state", self.state),
            Route("/api/begin", self.begin, methods=["POST"]),
            Route("/api/answer", self.answer, methods=["POST"]),
            Route("/api/undo", self.undo, methods=["POST"]),
            Route("/api/pictures/{number:int}/{what}", self.picture),
        ]
        handlers: dict[Any, Any] = {
            HTTPException: _http_error,
            RequestError: _bad_request,
            OutOfTurnError: _out_of_turn,
            Exception: _failure,
        }
        return Starlette(routes=routes, exception_handlers=handlers)

    async def enter(self, request: Request) -> Response:
        """Let a reader in who has a code."""
        code = (await _fields(request)).get("code")
        if not isinstance(code, str) or self._reader_with(code) is None:
            raise HTTPException(403, "There is no such code; check it letter by letter.")
        response = JSONResponse({})
        response.set_cookie(
            self.cookie,
            _plain(code),
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def leave(self, request: Request) -> Response:
        """Let a reader out, for the next one at the same screen."""
        response = JSONResponse({})
        response.delete_cookie(self.cookie, httponly=True, samesite="strict")
        return response

    async def state(self, request: Request) -> Response:
        """Where the reader stands."""
        return JSONResponse((await self._standing(self._reader(request))).told())

    async def begin(self, request: Request) -> Response:
        """Store what a reader tells of themselves."""
        reader = self._reader(request)
        fields = await _fields(request)
        turn, profile = turn_in(fields), profile_in(fields, self.study.consent)
        if turn:
            raise OutOfTurnError
        await self._store(reader, turn, BEGIN, note=profile)
        return JSONResponse((await self._standing(reader)).told())

    async def answer(self, request: Request) -> Response:
        """Store an answer; what comes back shows that it is on disk."""
        reader = self._reader(request)
        fields = await _fields(request)
        turn, screen = turn_in(fields), screen_in(fields)
        question, choice, seconds = answer_in(fields)
        before = await self._standing(reader, turn)
        if not before.has_begun or question != before.open:
            raise OutOfTurnError
        await self._store(
            reader, turn, ANSWER, question=question, choice=choice, seconds=seconds, note=screen
        )
        after = (await self._standing(reader)).told()
        return JSONResponse(after | {"feedback": before.feedback(question, choice)})

    async def undo(self, request: Request) -> Response:
        """Take the last answer back; what was answered stays stored."""
        reader = self._reader(request)
        turn = turn_in(await _fields(request))
        before = await self._standing(reader, turn)
        if before.undoable is None:
            raise OutOfTurnError
        await self._store(reader, turn, UNDO, question=before.undoable, note={})
        return JSONResponse((await self._standing(reader)).told())

    async def picture(self, request: Request) -> Response:
        """The levels of a picture of the open question, 16 bits each, row by row."""
        standing = await self._standing(self._reader(request))
        found = standing.picture(request.path_params["number"], request.path_params["what"])
        if found is None:
            raise HTTPException(404, "There is no such picture now.")
        scan, number = found
        content = await anyio.to_thread.run_sync(_bytes, self.pictures[scan], number)
        return Response(content, media_type="application/octet-stream")

    def _reader(self, request: Request) -> int:
        reader = self._reader_with(request.cookies.get(self.cookie, ""))
        if reader is None:
            raise HTTPException(401, "Enter your code first.")
        return reader

    def _reader_with(self, code: str) -> int | None:
        return self.readers.get(_hidden(code))

    async def _standing(self, reader: int, turn: int | None = None) -> Standing:
        """Where a reader stands, or stood after `turn` steps, all that a page knows of."""
        steps = await anyio.to_thread.run_sync(self.answers.of, reader)
        return Standing(self.study, reader, steps[:turn])

    async def _store(self, reader: int, turn: int, kind: str, **fields: Any) -> None:
        add = functools.partial(self.answers.add, reader, turn, kind, **fields)
        await anyio.to_thread.run_sync(add)


def _plain(code: str) -> str:
    """A code as it is compared: capitals and digits, however it was typed."""
    return "".join(letter for letter in code.upper()[:100] if letter.isalnum())


def _hidden(code: str) -> bytes:
    """Digest of a code, so that the time that looking it up takes tells nothing of it."""
    return hashlib.sha256(_plain(code).encode()).digest()


def _bytes(pictures: np.ndarray, number: int) -> bytes:
    return pictures[number].tobytes()


def _file(name: str, media_type: str) -> Callable[[Request], Any]:
    content = (PAGE / name).read_bytes()

    async def send(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return send


async def _fields(request: Request) -> dict[str, Any]:
    """The JSON object in a request."""
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        raise HTTPException(415, "The body must be JSON.")
    body = await read_body(request, max_bytes=MAX_BYTES, advice=ADVICE)
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError("The body must be JSON.") from error
    if not isinstance(fields, dict):
        raise RequestError("The body must be a JSON object.")
    return fields


async def _http_error(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _bad_request(request: Request, error: RequestError) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _out_of_turn(request: Request, error: OutOfTurnError) -> Response:
    return JSONResponse({"error": "The study has gone on elsewhere."}, 409)


async def _failure(request: Request, error: Exception) -> Response:
    """Of a bug or a full disk; the page sends again, and the log tells more."""
    return JSONResponse({"error": "The server could not store or read this."}, 500)
