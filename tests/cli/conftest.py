"""A folder with the small domain, and one finished run of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from law_run import EXPLORE, LAW, call


@pytest.fixture
def law(tmp_path, monkeypatch):
    """The current folder, with law.yaml in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "law.yaml").write_text(LAW, encoding="utf-8")
    return tmp_path


@pytest.fixture
def curate(law):
    """A function that runs `curate` in a child process, in the test's folder."""
    return lambda *arguments, **more: call(law, *arguments, **more)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder in which `curate explore` has run once, and the finished process; to be read only."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "law.yaml").write_text(LAW, encoding="utf-8")
    return folder, call(folder, *EXPLORE)


@pytest.fixture
def run(finished, monkeypatch):
    """The folder of the finished run, runs/law, with its parent as the current folder."""
    monkeypatch.chdir(finished[0])
    return Path("runs/law")
