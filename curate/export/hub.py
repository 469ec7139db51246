"""The Hub: push a dataset's or model's folder as one commit, and bring a dataset back.

`huggingface_hub` does the talking.

Its own mechanisms make a push go on where it stopped: files are known to the Hub by the hash of their content, so what
has arrived is not sent again, and what has not changed is in no commit. The token is the one it finds (HF_TOKEN, or the
login of `hf auth login`); it stands in no message of ours.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from curate.errors import HubError, InputError
from curate.export.hub_errors import TOKENS, explained, silenced

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo, ModelInfo

    Info: TypeAlias = DatasetInfo | ModelInfo

DATASET, MODEL = "dataset", "model"

README = "README.md"

_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?", re.ASCII)


@dataclass(frozen=True)
class Target:
    """A repository that may be pushed to, as far as can be known before: `info` is None where it is to be made."""

    repo: str
    user: str
    public: bool
    api: HfApi
    info: Info | None = None
    notes: tuple[str, ...] = ()
    kind: str = DATASET

    @property
    def url(self) -> str:
        """Where the repository is, or will be."""
        return _url(self.api, self.repo, self.kind)

    @property
    def private(self) -> bool:
        """Will the repository be private?"""
        return bool(self.info.private) if self.info else not self.public


@dataclass(frozen=True)
class Pushed:
    """What a push did: where the dataset is now, and whether anything of it was new."""

    repo: str
    url: str
    commit: str
    private: bool
    changed: bool
    files: tuple[str, ...]
    size: int

    def as_json(self) -> dict[str, Any]:
        """Return what was done as JSON values; `bytes` is the size of all files, sent or not."""
        return {
            "repo": self.repo,
            "url": self.url,
            "commit": self.commit,
            "private": self.private,
            "changed": self.changed,
            "files": list(self.files),
            "bytes": self.size,
        }


@dataclass(frozen=True)
class Remote:
    """A dataset on the Hub: its files with their sizes in bytes, and the metadata of its card."""

    repo: str
    commit: str
    private: bool
    files: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def check_name(repo: str, kind: str = DATASET) -> str:
    """Return the name of a dataset or model on the Hub, USER/NAME.

    Raises:
        InputError: no repository can be called so; the message says what is wrong.
    """
    owner, slash, name = repo.partition("/")
    if not slash:
        raise InputError(f"{repo!r} names no owner; a {kind} on the Hub is USER/NAME")
    for part in (owner, name):
        if not _NAME.fullmatch(part) or "--" in part or ".." in part or len(part) > 96 or part.endswith(".git"):
            raise InputError(
                f"{repo!r} cannot be a {kind}'s name: USER/NAME takes letters, digits, '-', '_' and '.', at most 96 "
                "of them each, begins and ends with none of '-' and '.', and has no '--' or '..'"
            )
    return repo


def target(repo: str, public: bool = False, kind: str = DATASET) -> Target:
    """Ask the Hub whether the user may push to `repo`; nothing is made or sent yet.

    Raises:
        InputError: no such name, or a repository that is public where a private one was asked for.
        HubError: no token, one that is not accepted or may only read, or no answer.
    """
    check_name(repo, kind)
    api = _api(needed=True)
    with explained(repo):
        who = api.whoami()
    user = str(who.get("name", ""))
    token = (who.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise HubError(f"the token of {user} may only read; make one that may write at {TOKENS}")
    owners = [user, *(str(org.get("name", "")) for org in who.get("orgs") or [])]
    if (owner := repo.partition("/")[0]).lower() not in map(str.lower, owners):
        own = ", ".join(f"{name}/…" for name in owners)
        raise HubError(f"{repo}: you are {user}, and {owner} is somebody else; you can push to {own}")
    info = _info(api, repo, user, kind)
    if info is None:
        return Target(repo, user, public, api, kind=kind)
    if not info.private and not public:
        raise InputError(
            f"{repo} exists and is public, and a push is private unless told: add --public, or name another repository"
        )
    notes = []
    if info.private and public:
        notes.append(f"{repo} exists and stays private; make it public at {_url(api, repo, kind)}/settings")
    others = sorted(_names(info) - _ours(info, kind) - {README, ".gitattributes"})
    if others:
        notes.append(f"{repo} has other files, which stay: {', '.join(others[:5])}{', …' if len(others) > 5 else ''}")
    if README in _names(info) and not _ours(info, kind):
        notes.append(f"its {README} is replaced; the old one stays in its history")
    return Target(repo, user, public, api, info, tuple(notes), kind)


def push(to: Target, folder: Path, files: Sequence[str], message: str, quiet: bool = False) -> Pushed:
    """Upload `files` of `folder` as one commit, with which files of an older push that are no more go.

    An interrupted push leaves the repository as it was, and the next one sends what is missing.

    Raises:
        HubError: the Hub refuses, or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    with explained(to.repo, to.user), silenced(quiet):
        if to.info is None:
            to.api.create_repo(to.repo, repo_type=to.kind, private=not to.public, exist_ok=True)
        before = _asked(to.api, to.repo, to.kind)
        if not before.private and not to.public:
            raise HubError(f"{to.repo} has become public meanwhile: nothing was sent; add --public if that is right")
        gone = (_ours(before, to.kind) & _names(before)) - set(files)
        operations: list[Any] = [CommitOperationAdd(name, str(folder / name)) for name in files]
        operations += [CommitOperationDelete(name) for name in sorted(gone)]
        commit = to.api.create_commit(to.repo, operations, commit_message=message, repo_type=to.kind)
    size = sum((folder / name).stat().st_size for name in files)
    return Pushed(to.repo, to.url, commit.oid, bool(before.private), commit.oid != before.sha, tuple(files), size)


def remote(repo: str) -> Remote:
    """Return what the Hub tells of a dataset.

    Raises:
        InputError: no such name.
        HubError: no such dataset, none that the token may see, or no answer.
    """
    check_name(repo)
    with explained(repo):
        info = _api().dataset_info(repo, files_metadata=True)
    files = {file.rfilename: file.size or 0 for file in info.siblings or []}
    return Remote(repo, info.sha or "", bool(info.private), files, _metadata(info))


def download(of: Remote, files: Sequence[str], folder: Path, quiet: bool = False) -> None:
    """Bring `files` of a dataset to `folder`; what lies there unchanged is not fetched again.

    Raises:
        HubError: too little room, or the Hub does not give them.
    """
    need, room = sum(of.files[name] for name in files), shutil.disk_usage(folder).free
    if need > room:
        raise HubError(f"{folder}: {of.repo} takes {need / 1e6:,.0f} MB and {room / 1e6:,.0f} MB are free; free space")
    with explained(of.repo), silenced(quiet):
        _api().snapshot_download(
            of.repo, repo_type=DATASET, revision=of.commit, local_dir=str(folder), allow_patterns=list(files)
        )


@contextlib.contextmanager
def reading(repo: str, quiet: bool = False) -> Iterator[None]:
    """Read from the Hub by other means in the block: what goes wrong there is explained as it is here."""
    with explained(repo), silenced(quiet):
        yield


def _api(needed: bool = False) -> HfApi:
    """Return the Hub's client with the token of the environment or of the login, if there is one."""
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if needed and not token:
        raise HubError(f"no token for the Hub: set HF_TOKEN (make one at {TOKENS}), or log in with `hf auth login`")
    if token and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise HubError("the token for the Hub has characters that none has; set HF_TOKEN without quotes or spaces")
    return HfApi(token=token, library_name="curate")


def _url(api: HfApi, repo: str, kind: str) -> str:
    return f"{api.endpoint}/{'datasets/' if kind == DATASET else ''}{repo}"


def _asked(api: HfApi, repo: str, kind: str) -> Info:
    return api.dataset_info(repo) if kind == DATASET else api.model_info(repo)


def _info(api: HfApi, repo: str, user: str, kind: str) -> Info | None:
    """Return what the Hub tells of a repository; None where it has none that the user may see."""
    from huggingface_hub.errors import RepositoryNotFoundError

    with explained(repo, user):
        try:
            return _asked(api, repo, kind)
        except RepositoryNotFoundError as error:
            # The Hub's client takes a refused token for a repository that is not there.
            if error.response is not None and error.response.status_code == 404:
                return None
            raise


def _names(info: Info) -> set[str]:
    return {file.rfilename for file in info.siblings or []}


def _metadata(info: Info) -> dict[str, Any]:
    data = info.card_data
    return dict(data.to_dict()) if data is not None else {}


def _ours(info: Info, kind: str) -> set[str]:
    """Return the files that an older push of ours left in a repository."""
    from curate.export.publish import data_files, is_ours

    metadata = _metadata(info)
    if not is_ours(metadata):
        return set()
    if kind == MODEL:
        return set(checkpoint_files(_names(info)))
    return {*data_files(metadata), *(name for name in _names(info) if name in FIXED)}


FIXED = ("images/tree.png", "images/samples.png", "domain.yaml")
"""Files that a push may have beside the rows and the card."""

CHECKPOINT = (
    "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "adapter_config.json",
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "*.jinja", "loss.svg",
)  # fmt: skip
"""The files of a trained model, and the picture that its card shows.

What only serves to go on training is not among them, nor what names places on this machine.
"""


def checkpoint_files(names: Iterable[str]) -> list[str]:
    """Return those of the names in a model's folder that belong on the Hub, without its card."""
    return sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in CHECKPOINT))


def push_model(to: Target, folder: Path, tell: Callable[[str], object], quiet: bool = False) -> Pushed:
    """Say what of a trained model's folder is sent, and send it, as `push` does."""
    files = [README, *checkpoint_files(path.name for path in folder.iterdir())]
    size = sum((folder / name).stat().st_size for name in files)
    seen = "private" if to.private else "PUBLIC"
    tell(f"pushing {size / 1e6:,.1f} MB in {len(files)} files, {seen}, to {to.url}")
    return push(to, folder, files, "A model trained with curate", quiet)
