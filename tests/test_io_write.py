"""What is written: rows that come back as they were, and files that are whole or not there."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError, RunError
from curate.io import atomic, read_jsonl, row_to_sample, sample_to_row, write_jsonl
from curate.text import content_id
from curate.types import Sample

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)  # it waits for the disk
@given(
    st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text()}),
        min_size=1,
    ),
    st.lists(st.text()),
    st.dictionaries(st.text(), JSON),
)
def test_a_sample_comes_back_from_its_line(tmp_path_factory, messages, task, meta):
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    sample = Sample(content_id(messages), tuple(messages), tuple(task), meta)
    assert write_jsonl(path, [sample_to_row(sample)] * 2) == 2
    assert [row_to_sample(row) for row in read_jsonl(path)] == [sample, sample]


def test_a_line_with_half_a_surrogate_pair_comes_back(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"a": "\ud83d"}, {"a": "½"}])
    assert list(read_jsonl(tmp_path / "a.jsonl")) == [{"a": "\ud83d"}, {"a": "½"}]
    assert (tmp_path / "a.jsonl").read_bytes() == b'{"a": "\\ud83d"}\n{"a": "\xc2\xbd"}\n'


@pytest.mark.parametrize("row", [{"id": "a"}, {"id": "a", "task": [], "messages": [{"role": "x"}], "meta": {}}])
def test_a_row_that_is_no_sample(row):
    with pytest.raises(InputError, match="sample"):
        row_to_sample(row)


def test_atomic_keeps_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with contextlib.suppress(KeyError), atomic(path) as file:
        file.write("new")
        raise KeyError
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])
    with atomic(path) as file:
        file.write("new")
        assert path.read_text() == "old"
    assert (path.read_text(), list(tmp_path.iterdir())) == ("new", [path])


def test_atomic_on_a_full_disk(tmp_path):
    def rows():
        yield {"a": 1}
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.jsonl"
    with pytest.raises(RunError) as error:
        write_jsonl(path, rows())
    assert (
        str(error.value)
        == f"{path}: cannot be written (No space left on device); free space or name another place with --out"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_writing(tmp_path):
    # A limit on the size of files is what a full disk is to a process: writes fail half-way.
    code = (
        "import resource, sys; from pathlib import Path; from curate.errors import RunError\n"
        "from curate.export import export; from curate.io import write_jsonl; from curate.types import Sample\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); out = Path(sys.argv[1])\n"
        "turns = {'role': 'user', 'content': 'x' * 999}, {'role': 'assistant', 'content': 'y'}\n"
        "for work in (lambda: write_jsonl(out / 'a.jsonl', ({'i': 'x' * 99} for i in range(999))),\n"
        "             lambda: export([Sample('s', turns)] * 99, out)):\n"
        "    try: work()\n"
        "    except RunError as error: print(error)\n"
        "    print(*out.iterdir())\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, cwd=root)
    reason = "cannot be written (File too large); free space or name another place with --out"
    assert done.stdout.splitlines() == [f"{tmp_path}/a.jsonl: {reason}", "", f"{tmp_path}/train.jsonl: {reason}", ""]


def test_atomic_where_nothing_can_be_written(tmp_path):
    with (
        pytest.raises(RunError, match=r"missing/a\.txt: cannot be written \(No such file or directory\)"),
        atomic(tmp_path / "missing" / "a.txt"),
    ):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="folder: cannot be written"), atomic(tmp_path / "folder"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_an_error_of_what_is_read_is_not_blamed_on_the_file_written(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "a.txt"):
        (tmp_path / "other").read_text()
