"""A small hub on this machine, with the routes that the hub's own client calls, and with faults on demand."""

import base64
import hashlib
import json
import re
import shutil
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
    """Keeps the file of a model as ``folder/owner/name/file``, of a dataset as ``folder/datasets/owner/name/file``.

    Attributes:
        fetched: names of the files that were asked for, with the range.
        refusals: the status that a path with this end is answered with.
        broken: file name to how many bytes are sent before the connection is closed, first time first.
        announced: file name to a size that is announced instead of its own.
        objects: large files that were uploaded, by their SHA-256.
        commits: messages of the commits that were made.
        heads: the commits of each repository that was written to, in their order.
        kept: has a folder for each of these commits, as its files were then.
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
        self.heads: dict[str, list[str]] = {}
        self.kept = folder.with_name("kept")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._serve_file(with_content=False)

    def do_GET(self) -> None:
        if asked := re.fullmatch(r"/api/(models|datasets)/(.+)", self.path):
            repository = _name_folder(*asked.groups())
            folder = self.server.folder / repository
            names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            head = self.server.heads.get(repository, [None])[-1]
            self._answer({"id": asked[2], "sha": head, "siblings": [{"rfilename": name} for name in names]})
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
        repository = _name_folder(f"{asked.get('type') or 'model'}s", f"{owner}/{asked['name']}")
        folder = self.server.folder / repository
        if folder.exists():
            self._answer({"error": "You already created this model repo"}, status=409)
            return
        folder.mkdir(parents=True)
        (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
        self._answer({"url": f"{self.server.address}/{repository}"})

    def _offer(self, asked: dict[str, Any]) -> dict[str, Any]:
        upload = {"href": f"{self.server.address}/upload/{asked['oid']}"}
        return {**asked, "actions": {"upload": upload}}

    def _commit(self, content: bytes) -> None:
        repository = _name_folder(*re.findall(r"/api/(models|datasets)/(.+)/commit/main", self.path)[0])
        heads = self.server.heads.setdefault(repository, [])
        header, *changes = [json.loads(line) for line in content.decode().splitlines()]
        if header["value"].get("parentCommit") not in (None, *heads[-1:]):
            self._answer({"error": "A commit has happened since"}, status=412)
            return
        self.server.commits.append(header["value"]["summary"])
        for change in changes:
            value, path = change["value"], self.server.folder / repository / change["value"]["path"]
            path.parent.mkdir(exist_ok=True)
            if change["key"] == "deletedFile":
                path.unlink()
                continue
            large = change["key"] == "lfsFile"
            path.write_bytes(self.server.objects[value["oid"]] if large else base64.b64decode(value["content"]))
        heads.append(f"{len(heads):040x}" if heads else COMMIT)
        shutil.copytree(self.server.folder / repository, self.server.kept / heads[-1] / repository)
        self._answer({"commitUrl": f"{self.server.address}/{repository}/commit/{heads[-1]}", "commitOid": heads[-1]})

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
        revision, _, name = rest.partition("/")
        heads = self.server.heads.get(repository, [COMMIT])
        if revision in heads[:-1]:
            path = self.server.kept / revision / repository / name
        else:
            path, revision = self.server.folder / repository / name, heads[-1]
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
        self.send_header("X-Repo-Commit", revision)
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


def _name_folder(kind: str, name: str) -> str:
    return name if kind == "models" else f"{kind}/{name}"


def choose_mode(file: dict[str, Any]) -> str:
    return "lfs" if file["path"].endswith((".safetensors", ".h5", ".parquet")) else "regular"


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
