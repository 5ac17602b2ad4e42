"""A small hub on this machine, with the routes that the hub's own client calls, and with faults on demand."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN, OTHERS_TOKEN = "hf_mine", "hf_of_somebody_else"


class Hub(ThreadingHTTPServer):
    """Keeps the file of a repository as ``folder/owner/name/file``.

    Attributes:
        fetched: names of the files that were asked for, with the range.
        refusals: the status that a path with this end is answered with.
        broken: file name to how many bytes are sent before the connection is closed, first time first.
        announced: file name to a size that is announced instead of its own.
        objects: large files that were uploaded, by their SHA-256.
        commits: messages of the commits that were made.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.fetched: list[str] = []
        self.refusals: dict[str, int] = {}
        self.broken: dict[str, list[int]] = {}
        self.announced: dict[str, int] = {}
        self.objects: dict[str, bytes] = {}
        self.commits: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._serve_file(with_content=False)

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/"):
            repository = self.path.removeprefix("/api/models/")
            files = [{"rfilename": path.name} for path in sorted((self.server.folder / repository).iterdir())]
            self._answer({"id": repository, "siblings": files})
        else:
            self.server.fetched.append(Path(self.path).name + self.headers.get("Range", ""))
            self._serve_file(with_content=True)

    def do_PUT(self) -> None:
        content = self._read()
        oid = self.path.removeprefix("/upload/")
        assert hashlib.sha256(content).hexdigest() == oid
        self.server.objects[oid] = content
        self._answer({})

    def do_POST(self) -> None:
        content = self._read()
        if self._refuse_by_path():
            return
        if self.headers.get("Authorization") not in (f"Bearer {TOKEN}", f"Bearer {OTHERS_TOKEN}"):
            self._answer({"error": "Invalid credentials"}, status=401)
        elif self.headers["Authorization"] == f"Bearer {OTHERS_TOKEN}":
            self._answer({"error": "You don't have the rights"}, status=403)
        elif self.path == "/api/repos/create":
            self._create(json.loads(content))
        elif self.path == "/api/validate-yaml":
            self._answer({"warnings": [], "errors": []})
        elif "/preupload/" in self.path:
            files = json.loads(content)["files"]
            self._answer(
                {"files": [{**file, "uploadMode": choose_mode(file), "shouldIgnore": False} for file in files]}
            )
        elif self.path.endswith("/info/lfs/objects/batch"):
            self._answer({"objects": [self._offer(each) for each in json.loads(content)["objects"]]})
        elif "/commit/" in self.path:
            self._commit(content)
        else:
            self._answer({"error": self.path}, status=404)

    def _refuse_by_path(self) -> bool:
        for end, status in self.server.refusals.items():
            if self.path.endswith(end):
                self._answer({"error": "refused"}, status=status)
                return True
        return False

    def _create(self, asked: dict[str, Any]) -> None:
        owner = asked.get("organization") or "me"
        folder = self.server.folder / owner / asked["name"]
        if folder.exists():
            self._answer({"error": "You already created this model repo"}, status=409)
            return
        folder.mkdir(parents=True)
        (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
        self._answer({"url": f"{self.server.address}/{owner}/{asked['name']}"})

    def _offer(self, asked: dict[str, Any]) -> dict[str, Any]:
        upload = {"href": f"{self.server.address}/upload/{asked['oid']}"}
        return {**asked, "actions": {"upload": upload}}

    def _commit(self, content: bytes) -> None:
        repository = re.fullmatch(r"/api/models/(.+)/commit/main", self.path.partition("?")[0]).group(1)  # type: ignore[union-attr]  # a route of the client
        for line in content.decode().splitlines():
            said = json.loads(line)
            value = said["value"]
            if said["key"] == "header":
                self.server.commits.append(value["summary"])
                continue
            large = said["key"] == "lfsFile"
            stored = self.server.objects[value["oid"]] if large else base64.b64decode(value["content"])
            (self.server.folder / repository / value["path"]).write_bytes(stored)
        self._answer({"commitUrl": f"{self.server.address}/{repository}/commit/{COMMIT}", "commitOid": COMMIT})

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, said: dict[str, Any], *, status: int = 200) -> None:
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _serve_file(self, *, with_content: bool) -> None:
        repository, _, rest = self.path.strip("/").partition("/resolve/")
        path = self.server.folder / repository / rest.partition("/")[2]
        content = path.read_bytes() if path.is_file() else b""
        status = 200 if path.is_file() else 404
        for end, refused in self.server.refusals.items():
            status = refused if self.path.endswith(end) else status
        start = int(re.sub(r"\D", "", self.headers.get("Range", "") or "0") or 0)
        self.send_response(206 if start and status == 200 else status)
        if status == 404:
            known = (self.server.folder / repository).is_dir()
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if path.name in self.server.announced:
            self.send_header("X-Linked-Size", str(self.server.announced[path.name]))
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if with_content and status == 200:
            breaks = self.server.broken.get(path.name)
            end = breaks.pop(0) if breaks else len(content)
            self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None: ...


def choose_mode(file: dict[str, Any]) -> str:
    return "lfs" if file["path"].endswith(".safetensors") else "regular"


@contextmanager
def serve_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub's client talks to this hub within, as with HF_ENDPOINT in its environment, and its cache is empty."""
    with run_hub(folder) as server:
        use_hub(server, folder, monkeypatch)
        yield server


@contextmanager
def run_hub(folder: Path) -> Iterator[Hub]:
    """A hub that answers within, whoever talks to it."""
    with Hub(folder / "hub") as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def use_hub(server: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the hub's client talks to this hub."""
    settings = {
        "ENDPOINT": server.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(folder / "cache"),
        "HF_TOKEN_PATH": str(folder / "token"),
        "HF_HUB_OFFLINE": False,
        # This hub has large files in the way of Git LFS, not of Xet.
        "HF_HUB_DISABLE_XET": True,
    }
    for name, value in settings.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
