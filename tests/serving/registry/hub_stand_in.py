"""A stand-in for the Hub on loopback: the part of its HTTP interface that a push and a pull use.

It keeps repositories in memory as commits; large files go the way of Git LFS, as on the real one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["Hub", "Repository", "hub"]

TOKEN = "hf_test"


@dataclass
class Repository:
    """Branches by name, each a commit; commits by hash, each its files."""

    private: bool
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {}})


@dataclass
class Hub:
    """What the server holds, and what it was asked."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a repository."""
        repository = self.repositories[name]
        return repository.commits[repository.branches.get(revision, revision)]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *words: Any) -> None:
        """Prints nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.asked.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = path.split("/")
        if parts[:2] == ["api", "repos"]:
            self._create(json.loads(body))
        elif parts == ["api", "validate-yaml"]:
            self._send(200, {"errors": [], "warnings": []})
        elif parts[0] == "objects":
            self.hub.objects[parts[1]] = body
            self._send(200, {})
        elif parts[:2] == ["api", "models"]:
            self._of_repository("/".join(parts[2:4]), parts[4:], body)
        elif parts[2:] == ["info", "lfs", "objects", "batch"] or parts[-1] == "batch":
            self._large(json.loads(body))
        elif len(parts) > 3 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404, {"error": f"unknown {path}"})

    def _allowed(self, name: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        open_to_all = repository is not None and not repository.private
        if repository is None or not (
            open_to_all or self.headers.get("Authorization") == f"Bearer {TOKEN}"
        ):
            self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        return repository

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, {"error": "Invalid username or password."})
            return
        private = wanted.get("private") or wanted.get("visibility") == "private"
        code = 409 if name in self.hub.repositories else 200
        self.hub.repositories.setdefault(name, Repository(bool(private)))
        self._send(code, {"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def _of_repository(self, name: str, rest: list[str], body: bytes) -> None:
        repository = self._allowed(name)
        if repository is None:
            return
        if rest[:1] == ["preupload"]:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self._send(200, {"files": modes})
        elif rest[:1] == ["branch"]:
            known = rest[1] in repository.branches
            repository.branches.setdefault(rest[1], repository.branches["main"])
            self._send(409 if known else 200, {})
        elif rest[:1] == ["commit"]:
            self._commit(name, repository, rest[1], body)
        else:
            self._info(name, repository, rest[1] if rest[:1] == ["revision"] else "main")

    def _commit(self, name: str, repository: Repository, branch: str, body: bytes) -> None:
        files = dict(self.hub.files(name, branch))
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            elif entry["key"] == "lfsFile":
                files[entry["value"]["path"]] = self.hub.objects[entry["value"]["oid"]]
        commit = hashlib.sha1(body + branch.encode()).hexdigest()
        repository.commits[commit] = files
        repository.branches[branch] = commit
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self._send(200, {"commitUrl": url, "commitOid": commit, "success": True})

    def _info(self, name: str, repository: Repository, revision: str) -> None:
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            told = {"X-Error-Code": "RevisionNotFound"}
            self._send(404, {"error": f"Invalid rev id: {revision}"}, told)
            return
        files = repository.commits[commit]
        siblings = [{"rfilename": path, "size": len(found)} for path, found in files.items()]
        value = {"id": name, "sha": commit, "siblings": siblings, "private": repository.private}
        self._send(200, {**value, "tags": [], "downloads": 0, "likes": 0})

    def _large(self, wanted: dict[str, Any]) -> None:
        objects = [
            {
                "oid": one["oid"],
                "size": one["size"],
                "actions": {"upload": {"href": f"{self.hub.url}/objects/{one['oid']}"}},
            }
            for one in wanted["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _file(self, name: str, revision: str, path: str) -> None:
        repository = self._allowed(name)
        if repository is None:
            return
        commit = repository.branches.get(revision, revision)
        content = repository.commits.get(commit, {}).get(path)
        if content is None:
            self._send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._send(200, content, {"X-Repo-Commit": commit, "ETag": etag})

    def _send(self, code: int, value: Any, headers: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(code)
        for key, text in (headers or {}).items():
            self.send_header(key, text)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def hub() -> Iterator[Hub]:
    """A running stand-in."""
    found = Hub()
    handler = type("Handler", (_Handler,), {"hub": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
