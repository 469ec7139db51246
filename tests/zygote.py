"""Runs commands of `curate` in processes of their own, each a fork of one that has loaded what takes long to load.

A line of JSON comes in for each command: `arguments`, the folder it runs in (`at`), and perhaps `kill`, a pattern of
paths. The process then kills itself (SIGKILL) at the moment in which it is about to rename a file or folder to such a
path, that is with all of the work done and nothing of it published. `{"pid": ...}` goes out when a command begins and
`{"code": ..., "out": ..., "err": ...}` when it has ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any


def load() -> None:
    """Import what the commands need, none of which starts a thread by being imported."""
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import huggingface_hub  # noqa: F401
    import tokenizers  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401

    import curate.cli.fuse
    import curate.fuse.merge
    import curate.fuse.run.job
    import curate.train.evaluate
    import curate.train.kinds  # noqa: F401


def kill_at(pattern: str) -> None:
    """Let this process die when it is about to rename something to such a path."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and fnmatch(str(arguments[1]), pattern):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def become(job: dict[str, Any], out: int, err: int) -> None:
    """Be the command, in this process."""
    os.chdir(job["at"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    if job.get("kill"):
        kill_at(job["kill"])
    from curate.cli import main

    main(job["arguments"])


def serve() -> None:
    """Run commands until there is no further line."""
    for line in sys.stdin:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    become(json.loads(line), out.fileno(), err.fileno())
                except SystemExit as ended:
                    code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
                except BaseException:
                    import traceback

                    traceback.print_exc()
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(code)
            print(json.dumps({"pid": pid}), flush=True)
            _, status = os.waitpid(pid, 0)
            said = {"code": os.waitstatus_to_exitcode(status)}
            for name, file in (("out", out), ("err", err)):
                file.seek(0)
                said[name] = file.read().decode()
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    load()
    print(json.dumps({"ready": True}), flush=True)
    serve()
