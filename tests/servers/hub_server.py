"""A Hub on loopback: the endpoints that `huggingface_hub` and `datasets` ask when something is pushed and read.

Files over LFS (classic: batch, upload, verify), commits as lines of JSON, resolve with ranges and entity tags. Users,
tokens and repositories are plain dicts; `refusals` and `held` make it fail, or wait, where a test wants it to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml


@dataclass
class Repo:
    """A dataset or model: its visibility, and the files of each commit, the newest last."""

    private: bool
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b"*.parquet filter=lfs\n"}])

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1]

    def oid(self, place: int = -1) -> str:
        """Return the name of a commit: 40 hex digits."""
        number = place % len(self.commits)
        names = sorted((path, hashlib.sha1(text).hexdigest()) for path, text in self.commits[number].items())
        return hashlib.sha1(json.dumps([number, names]).encode()).hexdigest()

    def at(self, revision: str) -> dict[str, bytes] | None:
        """Return the files of a revision: main, or the name of a commit."""
        if revision == "main":
            return self.files
        return next((files for i, files in enumerate(self.commits) if self.oid(i) == revision), None)


@dataclass
class Hub:
    """What the server has, and what it is to do. `log` holds (method, path) of every request.

    `refusals` maps a part of "METHOD path" to the statuses that answer it, each once; `held` maps such a part to an
    event that is waited for, and `arrived` is set when it is.
    """

    users: dict[str, dict[str, Any]]
    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    refusals: dict[str, list[int]] = field(default_factory=dict)
    held: dict[str, threading.Event] = field(default_factory=dict)
    arrived: threading.Event = field(default_factory=threading.Event)
    by_lfs: bool = True
    url: str = ""

    def may_write(self, user: dict[str, Any] | None, repo: str) -> bool:
        owner = repo.partition("/")[0]
        return owner in _names(user) and user["role"] == "write" and owner not in user.get("reads", ())

    def asked(self, method: str, part: str) -> int:
        """Return how often a request of this method with `part` in its path has come."""
        return sum(m == method and part in path for m, path in self.log)


REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    ROUTES = (
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("GET", rf"/api/(datasets|models)/{REPO}(/revision/(?P<rev>[^/]+))?", "info"),
        ("GET", rf"/api/(datasets|models)/{REPO}/tree/(?P<rev>[^/]+)(/(?P<path>.*))?", "tree"),
        ("POST", rf"/api/(datasets|models)/{REPO}/paths-info/(?P<rev>[^/]+)", "paths"),
        ("POST", rf"/api/(datasets|models)/{REPO}/preupload/main", "preupload"),
        ("POST", rf"/api/(datasets|models)/{REPO}/commit/main", "commit"),
        ("POST", rf"(/datasets)?/{REPO}\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", "upload"),
        ("POST", r"/lfs/verify", "verify"),
        ("HEAD|GET", rf"(/datasets)?/{REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "resolve"),
    )

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        path, self.query = unquote(parts.path), parse_qs(parts.query)
        self.hub.log.append((self.command, path))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        place = f"{self.command} {path}"
        for part, event in self.hub.held.items():
            if part in place:
                self.hub.arrived.set()
                event.wait(30)
        for part, statuses in self.hub.refusals.items():
            if part in place and statuses:
                return self.answer({"error": f"scripted {statuses[0]}"}, statuses.pop(0))
        for method, pattern, name in self.ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method.split("|"):
                return getattr(self, f"do_{name}")(**found.groupdict())
        return self.answer({"error": "no such page"}, 404)

    do_GET = do_POST = do_PUT = do_HEAD = handle_any

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(value, bytes) else "application/json"
        for name, text in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def user(self) -> dict[str, Any] | None:
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return self.hub.users.get(token) if scheme == "Bearer" else None

    def seen(self, repo: str) -> Repo | None:
        """Return a repository that the user may see; else answer as the Hub does, and return None."""
        found, user = self.hub.repos.get(repo), self.user()
        if user is None and self.headers.get("Authorization"):
            self.answer({"error": "Invalid credentials"}, 401, {"X-Error-Message": "Invalid credentials in "
                        "Authorization header"})  # fmt: skip
        elif found is None or (found.private and repo.partition("/")[0] not in _names(user)):
            status = 404 if user else 401
            self.answer({"error": "Repository not found"}, status, {"X-Error-Code": "RepoNotFound"} if user else {})
        else:
            return found
        return None

    def writable(self, repo: str) -> Repo | None:
        found = self.seen(repo)
        if found is not None and not self.hub.may_write(self.user(), repo):
            self.answer({"error": "You do not have write access"}, 403, {"X-Error-Message": "You do not have write "
                        "access"})  # fmt: skip
            return None
        return found

    # One method for each endpoint.

    def do_whoami(self) -> None:
        user = self.user()
        if user is None:
            return self.answer({"error": "Invalid user token."}, 401)
        token = {"displayName": "a token", "role": user["role"]}
        orgs = [{"name": name, "type": "org"} for name in user["orgs"]]
        return self.answer({"type": "user", "name": user["name"], "orgs": orgs, "auth": {"accessToken": token}})

    def do_create(self) -> None:
        asked, user = json.loads(self.body), self.user()
        if user is None:
            return self.answer({"error": "Invalid user token."}, 401)
        repo = f"{asked.get('organization') or user['name']}/{asked['name']}"
        if not self.hub.may_write(user, repo):
            return self.answer({"error": "no rights"}, 403, {"X-Error-Message": "You don't have the rights to create "
                               "a dataset under this namespace"})  # fmt: skip
        url = f"{self.hub.url}/datasets/{repo}"
        if repo in self.hub.repos:
            return self.answer({"error": "You already created this dataset repo", "url": url}, 409)
        self.hub.repos[repo] = Repo(asked.get("visibility") == "private" or asked.get("private") is True)
        return self.answer({"url": url})

    def do_validate(self) -> None:
        head = yaml.safe_load(json.loads(self.body)["content"].split("---\n")[1])
        named = json.loads(self.body)["repoType"] == "model" or head.get("license")
        wrong = [] if isinstance(head, dict) and named else [{"message": '"license" is required'}]
        self.answer({"errors": wrong, "warnings": []}, 400 if wrong else 200)

    def do_info(self, repo: str, rev: str | None) -> None:
        found = self.seen(repo)
        files = found.at(rev or "main") if found else None
        if found is None or files is None:
            return None if found is None else self.answer({"error": "no"}, 404, {"X-Error-Code": "RevisionNotFound"})
        card = files.get("README.md", b"").decode().split("---\n")
        siblings = [{"rfilename": path, **self.blob(text)} for path, text in files.items()]
        return self.answer({
            "_id": "0" * 24, "id": repo, "author": repo.partition("/")[0], "private": found.private,
            "sha": found.oid() if rev in (None, "main") else rev, "gated": False, "disabled": False, "downloads": 0,
            "likes": 0, "tags": [], "lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z",
            "siblings": siblings, "cardData": yaml.safe_load(card[1]) if len(card) > 2 else None,
        })  # fmt: skip

    def blob(self, text: bytes) -> dict[str, Any]:
        lfs = hashlib.sha256(text).hexdigest()
        git = hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest()
        big = (
            {"lfs": {"sha256": lfs, "oid": lfs, "size": len(text), "pointerSize": 130}} if lfs in self.hub.blobs else {}
        )
        return {"blobId": git, "oid": git, "size": len(text), **big}

    def entries(self, files: dict[str, bytes]) -> Iterator[dict[str, Any]]:
        for path, text in files.items():
            yield {"type": "file", "path": path, **self.blob(text)}
        for folder in {path.rpartition("/")[0] for path in files if "/" in path}:
            yield {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0}

    def do_tree(self, repo: str, rev: str, path: str | None) -> None:
        found = self.seen(repo)
        files = found.at(rev) if found else None
        if files is None:
            return None if found is None else self.answer({"error": "no"}, 404, {"X-Error-Code": "RevisionNotFound"})
        top = f"{path}/" if path else ""
        deep = self.query.get("recursive", ["false"])[0].lower() == "true"
        rows = [row for row in self.entries(files) if row["path"].startswith(top)]
        return self.answer([row for row in rows if deep or "/" not in row["path"][len(top) :]])

    def do_paths(self, repo: str, rev: str) -> None:
        found = self.seen(repo)
        files = found.at(rev) if found else None
        if files is None:
            return None if found is None else self.answer({"error": "no"}, 404, {"X-Error-Code": "RevisionNotFound"})
        try:
            wanted = json.loads(self.body)["paths"]
        except ValueError:
            wanted = parse_qs(self.body.decode()).get("paths", [])
        return self.answer([row for row in self.entries(files) if row["path"] in wanted])

    def do_preupload(self, repo: str) -> None:
        found = self.writable(repo)
        if found is None:
            return
        rows = []
        for file in json.loads(self.body)["files"]:
            by_lfs = self.hub.by_lfs and file["path"].endswith((".parquet", ".png", ".safetensors"))
            known = found.files.get(file["path"])
            oid = None if known is None else self.blob(known)
            oid = oid and (hashlib.sha256(known).hexdigest() if by_lfs else oid["oid"])
            mode = "lfs" if by_lfs else "regular"
            rows.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.answer({"files": rows})

    def do_batch(self, repo: str) -> None:
        if self.writable(repo) is None:
            return
        rows = []
        for row in json.loads(self.body)["objects"]:
            actions = {
                "upload": {"href": f"{self.hub.url}/lfs/{row['oid']}"},
                "verify": {"href": f"{self.hub.url}/lfs/verify"},
            }
            rows.append(
                {**row, "authenticated": True, **({} if row["oid"] in self.hub.blobs else {"actions": actions})}
            )
        self.answer({"transfer": "basic", "objects": rows})

    def do_upload(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.answer({"error": "another content"}, 400)
        self.hub.blobs[oid] = self.body
        return self.answer(b"")

    def do_verify(self) -> None:
        row = json.loads(self.body)
        right = len(self.hub.blobs.get(row["oid"], b"")) == row["size"]
        self.answer({}, 200 if right else 404)

    def do_commit(self, repo: str) -> None:
        found = self.writable(repo)
        if found is None:
            return None
        files = dict(found.files)
        for row in map(json.loads, self.body.splitlines()):
            key, value = row["key"], row["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    return self.answer({"error": "the LFS object is missing"}, 400)
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif key == "deletedFile":
                files.pop(value["path"])
        found.commits.append(files)
        oid = found.oid()
        url = f"{self.hub.url}/datasets/{repo}/commit/{oid}"
        return self.answer({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def do_resolve(self, repo: str, rev: str, path: str) -> None:
        found = self.seen(repo)
        files = found.at(rev) if found else None
        if found is None or files is None or path not in files:
            code = "RevisionNotFound" if files is None else "EntryNotFound"
            return None if found is None else self.answer({"error": "no"}, 404, {"X-Error-Code": code})
        text, about = files[path], self.blob(files[path])
        tag = about["lfs"]["sha256"] if "lfs" in about else about["oid"]
        commit = found.oid() if rev == "main" else rev
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if "lfs" in about:
            headers |= {"X-Linked-ETag": f'"{tag}"', "X-Linked-Size": str(len(text))}
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if span:
            first, last = int(span[1]), min(int(span[2] or len(text) - 1), len(text) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(text)}"
            return self.answer(text[first : last + 1], 206, headers)
        return self.answer(text, 200, headers)


def _names(user: dict[str, Any] | None) -> tuple[str, ...]:
    return (user["name"], *user["orgs"]) if user else ()


@contextmanager
def serving(**users: dict[str, Any]) -> Iterator[Hub]:
    """Serve a Hub on a free port of loopback; `users` maps tokens to {name, orgs, role, reads}."""
    hub = Hub({token: {"orgs": (), "role": "write", **user} for token, user in users.items()})
    handler = type("Bound", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        for event in hub.held.values():
            event.set()
        server.shutdown()
        server.server_close()
        thread.join()
