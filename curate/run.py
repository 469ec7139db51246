"""The run directory: its lock, its identity, the keys of its files, and their publication.

    run.yaml                                       the resolved configuration, versions and seed
    tree.json  tree.edits.jsonl                    the task tree and the journal of hand edits
    calls.sqlite                                   the ledger
    accepted.KEY.jsonl  accepted.KEY.dropped.jsonl   what the loop of rounds published
    accepted.KEY.summary.json                      the counts behind the summary; written last, so it means "whole"
    dataset/                                       the export

A file is written under a temporary name and renamed into place last, so whatever bears its final name is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from curate.errors import RunError
from curate.io import atomic, sample_to_row
from curate.io.files import to_line
from curate.types import Sample, Verdict


def key_of(*parts: Any) -> str:
    """Return 12 hex characters that change when any of `parts` (JSON values) changes."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def dropped_row(sample: Sample, stage: str, verdict: Verdict) -> dict[str, Any]:
    """Return what is kept on disk of a dropped sample: its row, and the stage, reason, score and detail."""
    row = sample_to_row(sample)
    row["dropped"] = {"stage": stage, "reason": verdict.reason, "score": verdict.score, **verdict.detail}
    return row


@dataclass
class Publication:
    """The open files of a stage that is being written: kept and dropped samples in the order they were decided."""

    kept_file: IO[str]
    dropped_file: IO[str]
    kept: int = 0
    dropped: int = 0

    def keep(self, sample: Sample) -> None:
        """Write a kept sample."""
        self.kept_file.write(to_line(sample_to_row(sample)))
        self.kept += 1

    def drop(self, sample: Sample, stage: str, verdict: Verdict) -> None:
        """Write a dropped sample beside the kept ones, with its reason."""
        self.dropped_file.write(to_line(dropped_row(sample, stage, verdict)))
        self.dropped += 1


class RunDirectory:
    """One run's folder, locked against a second process while it is open.

    Raises:
        RunError: the folder cannot be made or written, belongs to another run, or is open in another process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / ".lock").open("a+")
        except OSError as error:
            raise RunError(f"{path}: cannot be written ({error.strerror}); give another folder with --out") from error
        self._take_lock()
        for folder in (path, self.dataset):
            for draft in folder.glob(".*.tmp"):  # of a process that was killed; nobody else writes here now
                with contextlib.suppress(OSError):
                    draft.unlink()

    def _take_lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not on Windows: there two processes on one directory are the user's to avoid
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise RunError(
                f"{self.path}: another process (pid {owner}) is working here; "
                "wait for it, or give another folder with --out"
            ) from error
        # Who holds the lock is a courtesy to the reader of an error: a full disk must not fail here, without its name.
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock.fileno(), 0)
            os.write(self._lock.fileno(), str(os.getpid()).encode())

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    @property
    def ledger(self) -> Path:
        """The ledger's path."""
        return self.path / "calls.sqlite"

    @property
    def tree(self) -> Path:
        """The task tree's path."""
        return self.path / "tree.json"

    @property
    def dataset(self) -> Path:
        """The export's folder."""
        return self.path / "dataset"

    def settle(self, identity: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """Write run.yaml, or check that this folder belongs to the same run.

        `identity` (domain, language, root, seed, teacher) must be what it was; `configuration` may change.

        Raises:
            RunError: the folder holds a run with another identity; the message names each difference.
        """
        import yaml

        path = self.path / "run.yaml"
        if path.exists():
            before = read_settings(self.path)["identity"]
            differences = [
                f"{name} was {before[name]!r} and is now {value!r}"
                for name, value in identity.items()
                if name in before and before[name] != value
            ]
            if differences:
                raise RunError(
                    f"{self.path}: this folder holds another run ({'; '.join(differences)}); "
                    "give a folder of its own with --out"
                )
        with atomic(path) as file:
            settings = {"identity": dict(identity), **configuration}
            yaml.safe_dump(settings, file, sort_keys=False, allow_unicode=True, width=120)

    @contextlib.contextmanager
    def publish(self, name: str, key: str) -> Iterator[Publication]:
        """Open the two files of a stage; both are renamed into place when the block ends without an error.

        The dropped samples come first, so that a kept file is never without them.
        """
        kept, dropped = published(self.path, name, key)
        with atomic(kept) as kept_file, atomic(dropped) as dropped_file:
            yield Publication(kept_file, dropped_file)


def is_locked(folder: Path) -> bool:
    """Is another process at work in this run directory? What is published and its journals can be used all the same."""
    try:
        import fcntl

        with (folder / ".lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):  # Windows, or a folder in which no run has been
        return False
    return False


def published(folder: Path, name: str, key: str) -> tuple[Path, Path]:
    """Return the paths of a stage's kept and dropped samples."""
    return folder / f"{name}.{key}.jsonl", folder / f"{name}.{key}.dropped.jsonl"


def read_settings(folder: Path) -> dict[str, Any]:
    """Return run.yaml as a dict.

    Raises:
        RunError: the folder is not a run directory, or its run.yaml cannot be read.
    """
    import yaml

    path = folder / "run.yaml"
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except NotADirectoryError as error:
        raise RunError(
            f"{folder}: this is a file, not a run's folder; `curate stats`, `view` and `show` take files"
        ) from error
    except FileNotFoundError as error:
        raise RunError(
            f"{folder}: no run is here (run.yaml is missing); `curate explore --out {folder}` makes one"
        ) from error
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, yaml.YAMLError):
        settings = None
    if not isinstance(settings, dict) or not isinstance(settings.get("identity"), dict):
        raise RunError(f"{path}: not a run's settings; restore it, or give another folder with --out")
    return settings


def write_summary(folder: Path, name: str, key: str, summary: Mapping[str, Any]) -> None:
    """Write a stage's summary; it is the last file of a stage, so its presence means that the stage is whole."""
    with atomic(folder / f"{name}.{key}.summary.json") as file:
        json.dump(summary, file, ensure_ascii=False, indent=1)
    name_latest(folder, name, key)


def name_latest(folder: Path, name: str, key: str) -> None:
    """Write down that this is what the run published last; a run that finds its stage whole says so again."""
    with atomic(folder / "latest.json") as file:
        json.dump({"name": name, "key": key}, file)


def read_summary(folder: Path, name: str, key: str) -> dict[str, Any] | None:
    """Return a stage's summary, or None where the stage is not whole: never finished, or damaged since."""
    try:
        summary = json.loads((folder / f"{name}.{key}.summary.json").read_text(encoding="utf-8"))
        kept, dropped = (_lines(path) for path in published(folder, name, key))
        sound = kept == summary["accepted"] and dropped == sum(summary["dropped"].values())
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    return summary if sound else None


def _lines(path: Path) -> int:
    """Return the number of whole lines in a file."""
    with path.open("rb") as file:
        return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b""))


def latest(folder: Path) -> tuple[str, str]:
    """Return (stage name, key) of what the run published last.

    Raises:
        RunError: nothing has been published here yet, or latest.json is damaged.
    """
    path = folder / "latest.json"
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return str(entry["name"]), str(entry["key"])
    except FileNotFoundError as error:
        raise RunError(
            f"{folder}: nothing has been published here yet; run `curate explore --out {folder}` first"
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise RunError(f"{path}: damaged; the same `curate explore` again mends it for free") from error
