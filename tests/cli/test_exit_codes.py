"""The exit codes of the command line as a shell sees them."""

from __future__ import annotations

import pytest

from curate.cli import main


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["explore", "--help"], 0),
        (["no-such-verb"], 2),
        (["explore", "--rows", "none"], 2),
        # Growing the tree takes more than one call.
        (["explore", "--domain", "math", "--rows", "5", "--budget-calls", "1", "--quiet"], 3),
    ],
)
def test_exit_code(arguments, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == code
