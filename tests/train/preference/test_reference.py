"""What is kept of the model before training: blocks that are there whole, or computed again."""

import numpy as np
import pytest

from curate.errors import InputError, RunError
from curate.train.preference import reference
from curate.train.preference.packs import LAYOUTS
from curate.train.preference.reference import key_of, read_or_compute


class Dealt(list):
    """Groups as a dataset has them."""

    def __init__(self, groups):
        super().__init__(groups)
        self.references = np.zeros((len(groups), 2))


@pytest.fixture
def groups(groups_of, monkeypatch):
    monkeypatch.setattr(reference, "BLOCK", 4)
    return Dealt(groups_of(10))


def asked(folder, groups, calls, **more):
    def logprobs(pack):
        calls.append(len(pack["lengths"]))
        # The sum of an answer's tokens stands for its log-probability.
        sums = np.zeros(pack["lengths"].numel())
        np.add.at(sums, pack["owners"].numpy(), pack["targets"].numpy())
        return -sums.reshape(pack["lengths"].shape)

    return read_or_compute(groups, folder, logprobs, LAYOUTS["shared"], 200, **more)


def expected(groups):
    return [[-sum(label for label in one.labels if label >= 0) for one in group.answers] for group in groups]


def test_they_are_computed_once(groups, tmp_path):
    calls = []
    found = asked(tmp_path / "r", groups, calls)
    assert found.tolist() == expected(groups)
    assert sum(calls) == 10 and len(calls) > 3  # packs of several groups
    assert [path.name for path in sorted((tmp_path / "r").iterdir())] == ["00000.npy", "00001.npy", "00002.npy"]
    again = []
    np.testing.assert_array_equal(asked(tmp_path / "r", groups, again), found)
    assert again == []


def test_what_is_missing_or_broken_is_computed_again(groups, tmp_path):
    found = asked(tmp_path / "r", groups, [])
    (tmp_path / "r" / "00001.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "r" / "00002.npy").unlink()
    calls = []
    np.testing.assert_array_equal(asked(tmp_path / "r", groups, calls), found)
    assert sum(calls) == 6


def test_a_call_that_is_killed_leaves_its_whole_blocks(groups, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        asked(tmp_path / "r", groups, [], progress=lambda done, total: done == 8 and interrupt())
    calls = []
    assert asked(tmp_path / "r", groups, calls).tolist() == expected(groups)
    assert sum(calls) == 2


def interrupt():
    raise KeyboardInterrupt


def test_processes_share_the_blocks(groups, tmp_path, monkeypatch):
    calls = [[], []]

    def other(_):
        # While the first process waits, the second one does its part.
        asked(tmp_path / "r", groups, calls[1], rank=1, world=2)

    monkeypatch.setattr(reference.time, "sleep", other)
    assert asked(tmp_path / "r", groups, calls[0], rank=0, world=2).tolist() == expected(groups)
    assert (sum(calls[0]), sum(calls[1])) == (6, 4)


def test_what_is_no_number_is_not_kept(groups, tmp_path):
    def broken(pack):
        return np.full(pack["lengths"].shape, np.nan)

    with pytest.raises(InputError, match="gives an answer a log-probability that is no number"):
        read_or_compute(groups, tmp_path / "r", broken, LAYOUTS["shared"], 200)
    assert list((tmp_path / "r").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(groups, tmp_path):
    (tmp_path / "r").write_text("a file")
    with pytest.raises(RunError, match="name another: --references"):
        asked(tmp_path / "r", groups, [])


def test_another_model_dataset_or_precision_has_another_key(tmp_path):
    class Part:
        folder = tmp_path / "a"

    class Other:
        folder = tmp_path / "b"

    keys = {key_of(Part(), "m", "f"), key_of(Other(), "m", "f"), key_of(Part(), "n", "f"), key_of(Part(), "m", "b")}
    assert len(keys) == 4
    assert key_of(Part(), "m", "f") in keys
