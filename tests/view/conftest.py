"""A finished run to look at, copied for each test, and pages that are closed at the end."""

from __future__ import annotations

import shutil

import pytest
from runs import domain_file, run

from curate.view.server import View


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A run of 24 samples; to be read only."""
    folder = tmp_path_factory.mktemp("finished")
    return run(domain_file(folder), folder / "toy", rows=24).out


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the run, for this test alone."""
    return shutil.copytree(finished, tmp_path / "toy")


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """A function that serves the page of a source; its caches lie in the test's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CURATE_AUTHOR", "ada")
    pages = []

    def serve(source):
        pages.append(View(source))
        return pages[-1]

    yield serve
    for page in pages:
        page.close()
