"""Style sheet, scripts and pictures: read once, sent with the digest of what they hold."""

from __future__ import annotations

from gzip import compress
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from ebbtide.domain.errors import NotFound

FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Assets:
    """The files by name; a path that is asked for is only ever looked up among them."""

    def __init__(self) -> None:
        self._files = {
            file.name: (file.read_bytes(), _TYPES[file.suffix])
            for file in sorted(FOLDER.iterdir())
            if file.suffix in _TYPES
        }
        self._digests = {
            name: sha256(content).hexdigest()[:16] for name, (content, _) in self._files.items()
        }
        # Pages are sent as they are: what is secret in one would show in the length of its packed
        # form, beside text of somebody's choice. Files hold nothing secret.
        self._packed = {
            name: compress(content, mtime=0) for name, (content, _) in self._files.items()
        }

    def url(self, name: str) -> str:
        """The address of a file; it changes with the file."""
        return f"/static/{name}?v={self._digests[name]}"

    async def send(self, request: Request) -> Response:
        """Answer with a file.

        Raises:
            NotFound: there is none of this name.
        """
        name = request.path_params["name"]
        found = self._files.get(name)
        if found is None:
            raise NotFound("there is no such file")
        is_this_one = request.query_params.get("v") == self._digests[name]
        keeping = "private, max-age=31536000, immutable" if is_this_one else "private, no-cache"
        headers = {"Cache-Control": keeping, "Vary": "Accept-Encoding"}
        accepted = request.headers.get("accept-encoding", "").lower()
        content = found[0]
        if "gzip" in [one.strip() for one in accepted.split(",")]:
            headers["Content-Encoding"] = "gzip"
            content = self._packed[name]
        return Response(content, media_type=found[1], headers=headers)
