"""Checkpoint folders, metrics, the picture of the loss and the card."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from curate.errors import InputError, RunError
from curate.train.card import write_card
from curate.train.checkpoint import DRAFT, checkpoints, clear_drafts, publish, rotate, step_of, written
from curate.train.plot import draw_loss
from curate.train.progress import Metrics, Progress
from curate.train.settings import Settings, checked, difference


def test_checkpoints_are_found_by_number_and_rotated(tmp_path):
    for step in (5, 10, 100):
        draft = tmp_path / DRAFT
        (draft / "inner").mkdir(parents=True)
        (draft / "inner" / "file").write_text(str(step))
        publish(draft, tmp_path / f"checkpoint-{step}")
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / DRAFT / "half").mkdir(parents=True)
    assert [step_of(path) for path in checkpoints(tmp_path)] == [5, 10, 100]
    rotate(tmp_path, 2)
    assert [step_of(path) for path in checkpoints(tmp_path)] == [10, 100]
    assert (checkpoints(tmp_path)[-1] / "inner" / "file").read_text() == "100"
    clear_drafts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-100", "checkpoint-x"]


@pytest.mark.parametrize("error", [
    OSError(28, "No space left on device"),
    RuntimeError("[enforce fail at inline_container.cc:626] . PytorchStreamWriter failed writing file data/1"),
])  # fmt: skip
def test_whatever_says_that_the_disk_is_full_is_one_clear_error(tmp_path, error):
    draft = tmp_path / DRAFT
    draft.mkdir()
    with pytest.raises(RunError, match=r"what cannot be written .*; rest: free space"), written(draft, "what", "rest"):
        raise error
    assert not draft.exists()


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(RuntimeError, match="shapes differ"), written(tmp_path / DRAFT, "what", "rest"):
        raise RuntimeError("shapes differ")


def row(step, loss, held_out=None):
    return Progress(step, 9, step / 9, loss, 1e-4, 1.0, 10 * step, 5.0, 0.1, 0.0, 100, 1.0, 1.0, held_out)


def test_figures_after_the_checkpoint_are_taken_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, 0)
    for step in range(1, 6):
        metrics.add(row(step, 1 / step))
    metrics.close()
    with path.open("a") as file:
        file.write('{"step": 6, "lo')  # killed here
    again = Metrics(path, 3)
    again.add(row(4, float("inf")))
    again.close()
    assert [(one["step"], one["loss"]) for one in again.rows] == [(1, 1.0), (2, 0.5), (3, 0.333333), (4, "inf")]
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize("losses", [[], [2.0], [3.0, 2.5, float("nan"), 1e-3], [1.0, 1.0]])
def test_the_picture_is_a_picture_whatever_the_losses(tmp_path, losses):
    rows = [row(step, loss, 2.0 if step == 1 else None).row() for step, loss in enumerate(losses, 1)]
    tree = ElementTree.parse(draw_loss(rows, tmp_path / "loss.svg", "a <b> & c"))
    texts = [element.text for element in tree.iter() if element.tag.endswith("text")]
    assert texts[0] == "a <b> & c"
    assert ("loss on held-out samples" in texts) == bool(losses)
    for line in (element for element in tree.iter() if element.tag.endswith("polyline")):
        for point in line.get("points").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 860 and 0 <= y <= 420


def test_what_a_model_wrote_cannot_leave_its_block(tmp_path):
    names = ("samples", "dropped", "tokens", "steps", "parameters", "trained", "memory")
    figures = {**dict.fromkeys(names, 1), "loss": 1.0, "tokens_per_second": 1.0, "mfu": 0.1, "peak": "x"}
    hostile = "```\n# Heading\n````\n<script>"
    sample = dict.fromkeys(("prompt", "before", "after"), hostile)
    settings = Settings(("a|b.json",), "m", tmp_path)
    write_card(tmp_path, settings, {**figures, "before": None, "after": None}, [sample])
    card = (tmp_path / "README.md").read_text()
    assert card.count("`````text\n```\n# Heading") == 3
    assert "| a\\|b.json |" in card


def test_settings_say_what_differs():
    settings = Settings(("a",), "m", Path("out"))
    other = checked(Settings(("a", "b"), "m", Path("elsewhere"), keep=5, epochs=2))
    assert difference(settings.identity(), settings.identity()) == ""
    assert difference(settings.identity(), other.identity()) == (
        "datasets was ['a'] and is ['a', 'b'], epochs was 3 and is 2"
    )
    with pytest.raises(InputError, match="--method half: it takes full, lora, qlora"):
        checked(Settings(("a",), "m", Path("out"), method="half"))
