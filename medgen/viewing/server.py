"""The page and its volumes, for whoever knows the address."""

from __future__ import annotations

import secrets
import threading
from importlib.resources import files
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from medgen.errors import MedgenError
from medgen.viewing.described import described, files_of
from medgen.viewing.scene import Scene
from medgen.volumes.files import encode_volume
from medgen.web import Guarded

# Files of the page, by the name in its address.
PAGE = {
    "": ("index.html", "text/html"),
    "view.css": ("view.css", "text/css"),
    "view.js": ("view.js", "text/javascript"),
    "niivue.js": ("niivue.umd.js", "text/javascript"),
}


class Viewer:
    """Shows a scene to those who know its key, which nobody guesses.

    Args:
        scene: what is shown.
        folder: an empty one, where volumes are written when they are first asked for.
    """

    def __init__(self, scene: Scene, folder: Path):
        self.key = secrets.token_urlsafe(16)
        self.facts = described(scene)
        self.folder, self.volumes = folder, files_of(scene)
        self.writing = threading.Lock()

    @property
    def path(self) -> str:
        """Where the page is."""
        return f"/{self.key}/"

    def app(self) -> Guarded:
        """The application; there is nothing but the page, the scene and its volumes."""
        routes = [
            *(Route(f"/{name}", self.page) for name in PAGE),
            Route("/scene.json", self.scene),
            Route("/volumes/{name}", self.volume),
        ]
        return Guarded(Starlette(routes=[Mount(f"/{self.key}", routes=routes)]))

    async def page(self, request: Request) -> Response:
        """A file of the page."""
        name, media_type = PAGE[request.url.path.removeprefix(self.path)]
        content = files("medgen.viewing").joinpath("page", name).read_bytes()
        return Response(content, media_type=media_type)

    async def scene(self, request: Request) -> Response:
        """What there is to see."""
        return JSONResponse(self.facts)

    async def volume(self, request: Request) -> Response:
        """A volume as NIfTI; 422 and a sentence where it cannot be made."""
        name = request.path_params["name"]
        if name not in self.volumes:
            return PlainTextResponse("There is no such volume.", 404)
        try:
            path = await anyio.to_thread.run_sync(self.written, name)
        except MedgenError as error:
            return PlainTextResponse(str(error), 422)
        return FileResponse(path, media_type="application/octet-stream")

    def written(self, name: str) -> Path:
        """The file of a volume, made the first time."""
        path = self.folder / name
        with self.writing:
            if not path.exists():
                unfinished = path.with_name(f"unfinished-{name}")
                encode_volume(self.volumes[name](), unfinished)
                unfinished.rename(path)
        return path
