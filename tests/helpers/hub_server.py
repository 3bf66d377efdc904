"""A server on this machine that answers like the Hugging Face Hub: repositories in memory, one revision each."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

TOKEN = "hf_test"


class Hub:
    """repos: name -> file -> bytes. commits: name -> number. fail: status of every answer to a commit, if not 0."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.commits: dict[str, int] = {}
        self.fail = 0
        self.asked: list[str] = []

    def sha(self, name: str) -> str:
        return hashlib.sha1(f"{name} {self.commits.get(name, 0)}".encode()).hexdigest()

    def answer(self, method: str, path: str, body: bytes, token: str) -> tuple[int, Any]:
        """Return status and content: JSON values, or the bytes of a file."""
        self.asked.append(f"{method} {path}")
        path = unquote(path.partition("?")[0])
        if path == "/api/repos/create":
            return self.create(json.loads(body), token)
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if match := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+?)(?:/(revision|tree|preupload|commit)/(.*))?", path):
            name, action = match[1], match[2] or "revision"
            if name not in self.repos or (self.private[name] and token != TOKEN):
                return 404, "RepoNotFound"
            if match[3] and match[3] not in ("main", self.sha(name)):
                return 404, "RevisionNotFound"
            return getattr(self, action)(name, body, token)
        if (match := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/\w+/(.+)", path)) and match[2] in self.repos.get(
            match[1], {}
        ):
            return 200, self.repos[match[1]][match[2]]
        return 404, "EntryNotFound"

    def create(self, asked: dict, token: str) -> tuple[int, Any]:
        if token != TOKEN:
            return 401, "Unauthorized"
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        self.repos[name], self.private[name] = (
            {".gitattributes": b""},
            bool(asked.get("private")) or asked.get("visibility") == "private",
        )
        return 200, {"url": f"/{name}", "name": name}

    def revision(self, name: str, body: bytes, token: str) -> tuple[int, Any]:
        files = [{"rfilename": path, "size": len(data)} for path, data in self.repos[name].items()]
        return 200, {"id": name, "sha": self.sha(name), "siblings": files, "private": self.private[name], "tags": []}

    def tree(self, name: str, body: bytes, token: str) -> tuple[int, Any]:
        rows = [(path, data) for path, data in self.repos[name].items()]
        return 200, [{"type": "file", "path": path, "size": len(data), "oid": oid(data)} for path, data in rows]

    def preupload(self, name: str, body: bytes, token: str) -> tuple[int, Any]:
        paths = [one["path"] for one in json.loads(body)["files"]]
        return 200, {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]}

    def commit(self, name: str, body: bytes, token: str) -> tuple[int, Any]:
        if self.fail or token != TOKEN:
            return self.fail or 403, "Forbidden"
        for line in map(json.loads, body.decode().splitlines()):
            if line["key"] == "file":
                self.repos[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        self.commits[name] = self.commits.get(name, 0) + 1
        sha = self.sha(name)
        return 200, {
            "commitUrl": f"https://huggingface.co/{name}/commit/{sha}",
            "commitOid": sha,
            "pullRequestUrl": None,
        }


def oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, content = hub.answer(self.command, self.path, body, token)
            file = isinstance(content, bytes)
            data = content if file else b"" if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            if file:
                self.send_header("etag", f'"{oid(data)}"')
                self.send_header("x-repo-commit", self.path.split("/resolve/")[1].split("/")[0])
            if isinstance(content, str):
                self.send_header("x-error-code", content)
            self.send_header("content-type", "application/octet-stream" if file else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_HEAD = do_POST = do_PUT = do_GET

        def log_message(self, *args: Any) -> None:
            """Print nothing."""

    return Handler


@contextmanager
def serve() -> Iterator[tuple[Hub, str]]:
    """Run a hub and yield it with its address."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
