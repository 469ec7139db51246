"""`curate dedup --calibrate` from file to file: who marks, what is kept of it, and what the threshold is good for."""

from __future__ import annotations

import json
import random
import shutil

import pytest

import curate
from curate.errors import InputError, ModelError
from curate.io import read_jsonl, write_jsonl
from curate.models import Budget, ScriptedModel
from curate.pipeline.dedup import dedup_dataset
from curate.pipeline.dedup_calibrate import load_calibration, open_calibration
from curate.types import Failure

COMPARED = {"embedder": "static", "language": "en"}


def reworded(text, rng):
    """The same problem with a few words changed: what a person would call a duplicate."""
    words = text.split()
    for _ in range(rng.randint(1, 6)):
        words.insert(rng.randrange(len(words)), rng.choice(["really", "just", "then", "also"]))
    return " ".join(words)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Problems, and half of them again in other words."""
    from pathlib import Path

    shared = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "test.jsonl"
    if not shared.exists():
        pytest.skip("the real data (../shared/data) is not here")
    rng = random.Random(0)
    rows = [json.loads(line) for line in shared.read_text(encoding="utf-8").splitlines()[:240]]
    rows += [row | {"question": reworded(row["question"], rng)} for row in rows[:120]]
    rng.shuffle(rows)
    folder = tmp_path_factory.mktemp("calibrate")
    write_jsonl(folder / "data.jsonl", rows)
    # The near pairs are found once for all tests.
    open_calibration(folder / "data.jsonl", **COMPARED)
    shutil.rmtree(folder / "data.calibration")
    return folder


@pytest.fixture
def file(data, tmp_path):
    shutil.copytree(data, tmp_path, dirs_exist_ok=True)
    return tmp_path / "data.jsonl"


def alike(left, right):
    """The truth: the same problem, whatever words were put in."""
    one, other = (set(text.split()) - {"really", "just", "then", "also"} for text in (left, right))
    return one == other


class Judge:
    """Says the truth, and counts."""

    def __init__(self, *, broken=""):
        self.asked = 0
        self.broken = broken
        self.model = ScriptedModel(self.reply, name="judge")

    def reply(self, request):
        self.asked += 1
        if self.broken:
            return Failure(self.broken, "no such model")
        if self.asked == 3:
            return "I cannot say.\nverdict: perhaps"
        same = alike(request.variables["left"], request.variables["right"])
        return f"They share words.\nverdict: {'same' if same else 'different'}"


def test_a_judge_marks_and_the_threshold_is_used(file):
    judge = Judge()
    work = open_calibration(file, pairs=100, **COMPARED)
    assert (work.plan(judge.model, "judge").calls, work.plan(judge.model, "judge").cost) == (100, 0.0)
    assert work.ask(judge.model) == {"off_menu": 1}
    done = work.finish(0.9)
    assert done.marks == {"judge": 99} and judge.asked == 100
    assert 0.7 < done.threshold < 0.95 and done.low <= done.threshold <= done.high
    pairs = [pair for pair in work.pairs if pair.cosine > done.threshold]
    assert sum(alike(pair.left, pair.right) for pair in pairs) >= 0.85 * len(pairs)
    report = dedup_dataset(file, threshold="calibrated")
    assert report.settings["threshold"] == done.threshold
    assert report.settings["calibrated"] == "precision 0.9 by 99 marks"
    assert report.again and report.kept == dedup_dataset(file, threshold=done.threshold).kept
    # Running again asks nobody, another precision is computed from the same marks.
    again = open_calibration(file, pairs=100, **COMPARED)
    assert again.ask(judge.model) == {} and judge.asked == 100
    assert again.finish(0.9) == done
    assert again.finish(0.5).threshold < done.threshold


def test_a_budget_stops_the_judge_and_the_next_run_goes_on(file):
    judge = Judge()
    work = open_calibration(file, pairs=40, **COMPARED)
    lost = work.ask(judge.model, Budget(calls=15))
    assert lost == {"budget": 25, "off_menu": 1} and judge.asked == 15
    assert sum(work.finish(0.9).marks.values()) == 14
    again = open_calibration(file, pairs=40, **COMPARED)
    again.ask(judge.model)
    assert judge.asked == 40 and sum(again.finish(0.9).marks.values()) == 39


def test_a_judge_that_cannot_be_asked_ends_it(file):
    with pytest.raises(ModelError, match="no such model"):
        open_calibration(file, pairs=10, **COMPARED).ask(Judge(broken="unknown_model").model)


def test_a_person_marks_with_an_editor(file):
    work = open_calibration(file, pairs=60, **COMPARED)
    sheet = file.parent / "data.calibration" / "pairs.jsonl"
    rows = list(read_jsonl(sheet))
    assert [set(row) for row in rows] == [{"pair", "same", "left", "right"}] * 60
    assert all(row["same"] is None for row in rows)
    write_jsonl(sheet, [row | {"same": alike(row["left"], row["right"])} for row in rows[:50]])
    again = open_calibration(file, pairs=60, **COMPARED)
    assert (again.read, len(again.open)) == (50, 10)
    assert again.finish(0.9).marks == {"person": 50}
    # The sheet has the marks and the open pairs again, and reading it once more brings nothing new.
    assert sum(row["same"] is not None for row in read_jsonl(sheet)) == 50
    assert open_calibration(file, pairs=60, **COMPARED).read == 0
    judge = Judge()
    assert sum(work.ask(judge.model).values()) == 1
    # The judge's third reply is off the menu, and of a pair that the person marked.
    assert open_calibration(file, pairs=60, **COMPARED).marks.agreement(work.pairs) == (49, 49)


def test_a_wrong_line_of_the_sheet_is_named(file):
    open_calibration(file, pairs=3, **COMPARED)
    sheet = file.parent / "data.calibration" / "pairs.jsonl"
    rows = list(read_jsonl(sheet))
    write_jsonl(sheet, [rows[0], rows[1] | {"same": "yes"}])
    before = sheet.read_bytes()
    with pytest.raises(InputError, match=r'pairs\.jsonl:2: expected .*"same": true, false or null; found .*\'yes\''):
        open_calibration(file, pairs=3, **COMPARED)
    assert sheet.read_bytes() == before


def test_a_person_stands_over_the_judge(file):
    work = open_calibration(file, pairs=4, **COMPARED)
    pair = work.pairs[0]
    work.marks.add(pair, True, "judge")
    assert (work.marks.same(pair), work.marks.open(pair)) == (True, False)
    work.marks.add(pair, False)
    assert work.marks.same(pair) is False and work.marks.counts([pair]) == {"person": 1}
    work.marks.add(pair, None)
    assert work.marks.same(pair) is None and not work.marks.open(pair)


def test_a_journal_cut_off_loses_one_mark(file):
    work = open_calibration(file, pairs=4, **COMPARED)
    for pair in work.pairs:
        work.marks.add(pair, True)
    journal = work.marks.journal
    journal.write_bytes(journal.read_bytes()[:-9])
    (journal.parent / "pairs.jsonl").unlink()
    again = open_calibration(file, pairs=4, **COMPARED)
    assert len(again.open) == 1 and "repeat it" in again.marks.warnings[0]


def test_the_threshold_belongs_to_one_encoder_and_one_field(file, tmp_path):
    curate.calibrate(file, precision=0.9, pairs=60, mark=alike, quiet=True)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(InputError, match=r"calibrated for the encoder 'static', and this is 'chargrams'"):
        dedup_dataset(file, threshold="calibrated", embedder="chargrams")
    with pytest.raises(InputError, match=r"calibrated for the field 'text', and this compares 'instruction'"):
        dedup_dataset(file, threshold="calibrated", field="instruction")
    path = tmp_path / "data.calibration" / "calibration.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"encoder_print": "', '"encoder_print": "0'))
    for clean in (False, True):  # with the pairs of an earlier run, and without
        if clean:
            shutil.rmtree(tmp_path / "data.deduped.cache")
        with pytest.raises(InputError, match="for the encoder 'static' with other weights"):
            dedup_dataset(file, threshold="calibrated")
    assert set(before) - {path.name for path in tmp_path.iterdir()} == {"data.deduped.cache"}


def test_another_dataset_may_use_it_and_is_told(file, tmp_path):
    done = curate.calibrate(file, precision=0.9, pairs=60, mark=alike, quiet=True)
    other = tmp_path / "other.jsonl"
    write_jsonl(other, list(read_jsonl(file))[:50])
    report = dedup_dataset(other, threshold=str(tmp_path / "data.calibration"))
    assert report.settings["threshold"] == done.threshold
    assert report.settings["calibrated"].endswith("on another dataset or an earlier state of this one")
    with pytest.raises(InputError, match=r"other\.calibration/calibration\.json: no such calibration"):
        dedup_dataset(other, threshold="calibrated")


def test_what_is_no_calibration_is_said(file, tmp_path):
    path = tmp_path / "data.calibration" / "calibration.json"
    done = curate.calibrate(file, precision=0.9, pairs=40, mark=lambda left, right: False, quiet=True)
    assert done.threshold is None
    with pytest.raises(InputError, match=r"no threshold has the precision 0\.9 that was wanted"):
        load_calibration("calibrated", file)
    for wrong, said in (
        ("{", "not a calibration"),
        ("[]", "not a calibration"),
        ('{"version": 1}', "not a calibration"),
    ):
        path.write_text(wrong)
        with pytest.raises(InputError, match=said):
            load_calibration("calibrated", file)


def test_the_order_of_the_rows_changes_neither_the_pairs_nor_the_threshold(file, tmp_path):
    rows = list(read_jsonl(file))
    random.Random(3).shuffle(rows)
    other = tmp_path / "other.jsonl"
    write_jsonl(other, rows)
    left, right = (open_calibration(path, pairs=60, **COMPARED) for path in (file, other))
    assert left.pairs == right.pairs
    found = [curate.calibrate(path, pairs=60, precision=0.9, mark=alike, quiet=True) for path in (file, other)]
    assert found[0].threshold is not None and found[0].estimates == found[1].estimates


def test_a_null_distribution(file):
    work = open_calibration(file, pairs=10, **COMPARED)
    null = work.null()
    texts = len(work.found.relations.known)
    assert null.pairs == null.sampled == texts * (texts - 1) // 2
    assert list(null.quantiles) == [0.5, 0.9, 0.99, 0.999, 0.9999]
    assert sorted(null.quantiles.values()) == list(null.quantiles.values())
    edges = work.found.relations.semantic
    assert null.near[0.7] == len(edges.above(0.7)) and null.near[0.98] == len(edges.above(0.98))


def test_nothing_to_calibrate(tmp_path):
    path = tmp_path / "data.jsonl"
    write_jsonl(path, [{"instruction": text, "output": "."} for text in ("Name a river.", "Add 3 and 4.")])
    with pytest.raises(InputError, match=r"nothing to calibrate: no two different texts have a cosine from 0\.70 up"):
        open_calibration(path, **COMPARED)
    with pytest.raises(InputError, match="0 pairs to mark"):
        open_calibration(path, pairs=0, **COMPARED)
    with pytest.raises(InputError, match="the embedder 'none' gives no vectors"):
        open_calibration(path, embedder="none")
