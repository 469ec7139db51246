"""Building samples: which responses are chosen, why prompts are left out, and the split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import curate
from curate.cli import root
from curate.errors import InputError
from curate.fuse.folder import Response
from curate.fuse.margins import histogram
from curate.fuse.pairs import Rules, Window, best_of_all, best_pair
from curate.fuse.split import is_for_sft
from curate.io import read_jsonl, read_samples, write_jsonl

WINDOW = Window(0.01, 0.1)
NARROW = Rules(True, window=WINDOW)


def response(name: str, status: str, score: float | None, model: str = "a", role: str = "source") -> Response:
    return Response(name, model, role, f"text of {name}", "", status, score)


def names(choice):
    pair = choice[0]
    return pair if isinstance(pair, str) else (pair.chosen.id, pair.rejected.id, pair.margin)


def test_the_best_of_all_is_the_highest_score_among_the_right_ones():
    found = [response("1", "fail", 0.9), response("2", "pass", 0.2), response("3", "pass", 0.3, "b")]
    assert best_of_all(found, "math", Rules(True)).id == "3"
    assert best_of_all(found, "math", Rules(True, verdicts=False)).id == "1"
    assert best_of_all([response("1", "skip", 0.1), response("2", "skip", 0.4)], "none", Rules(True)).id == "2"


@pytest.mark.parametrize(
    "found, kind, scored, reason",
    [
        ([response("1", "fail", 0.9), response("2", "error", 1.0)], "math", True, "all_fail"),
        ([response("1", "error", 0.9), response("2", "timeout", 1.0)], "code", True, "no_response"),
        ([response("1", "pass", None)], "math", True, "unscored"),
        ([response("1", "skip", None), response("2", "skip", None)], "none", False, "no_scores"),
    ],
)
def test_why_there_is_no_best(found, kind, scored, reason):
    assert best_of_all(found, kind, Rules(scored)) == reason


def test_a_pair_is_of_one_model_and_inside_the_window():
    found = [
        response("a1", "pass", 0.50), response("a2", "fail", 0.20),
        response("b1", "pass", 0.40, "b"), response("b2", "pass", 0.45, "b"), response("b3", "fail", 0.38, "b"),
        response("b4", "timeout", 0.0, "b"), response("b5", "error", 0.0, "b"), response("b6", "fail", None, "b"),
    ]  # fmt: skip
    chosen, rejected, margin = names(best_pair(found, "math", Rules(True, window=WINDOW)))
    assert (chosen, rejected, round(margin, 9)) == ("b2", "b3", 0.07)
    # Without a window it is the model with the best chosen response.
    assert names(best_pair(found, "math", Rules(True)))[:2] == ("a1", "a2")


def test_where_nothing_checks_it_is_best_against_worst():
    found = [response(str(n), "skip", score) for n, score in enumerate((0.3, 0.35, 0.32))]
    assert names(best_pair(found, "none", Rules(True, window=WINDOW)))[:2] == ("1", "0")


@pytest.mark.parametrize(
    "found, kind, rules, reason",
    [
        ([response("1", "fail", 0.9)], "math", Rules(True), "all_fail"),
        ([response("1", "pass", 0.9), response("2", "error", 0.1)], "math", Rules(True), "all_pass"),
        ([response("1", "pass", 0.9), response("2", "fail", 0.1, "b")], "math", Rules(True), "no_model_has_both"),
        ([response("1", "pass", 0.9), response("2", "fail", None)], "math", Rules(True), "unscored"),
        ([response("1", "skip", None)], "none", Rules(False), "no_scores"),
        ([response("1", "skip", 0.9)], "none", Rules(True), "no_difference"),
        ([response("1", "skip", 0.9), response("2", "skip", 0)], "none", NARROW, "margin_outside_window"),
        ([response("1", "timeout", 0.9)], "code", Rules(True), "no_response"),
    ],
)  # fmt: skip
def test_why_there_is_no_pair(found, kind, rules, reason):
    assert names(best_pair(found, kind, rules)) == reason


def test_the_window_holds_its_ends_in_binary():
    assert Window(0.01, 0.1).holds(0.11 - 0.1)
    assert not Window(0.01, 0.1).holds(0.1001)


def test_the_histogram_counts_all():
    found = histogram([0.0, 0.05, 0.5, 1.0], Window(0.01, 0.1))
    assert (found.counts[0], found.counts[5], found.counts[9], sum(found.counts), found.inside) == (2, 1, 1, 4, 1)
    assert histogram([0.3, 0.3], None).counts[0] == 2


def test_the_split_is_by_the_prompt_and_grows_with_the_share():
    ids = [f"{n:016x}" for n in range(2000)]
    small, large = ({one for one in ids if is_for_sft(one, share, 0)} for share in (0.4, 0.6))
    assert small < large
    assert 0.36 < len(small) / 2000 < 0.44
    assert {one for one in ids if is_for_sft(one, 0.4, 1)} != small


SCRIPT = """
def reply(request):
    prompt, number = request.messages[-1]["content"], int(request.attempt[-1])
    if prompt == "all wrong":
        return f"{NAME} {number}: nothing"
    return f"{NAME} {number}: " + ("\\\\boxed{7}" if number else "nothing")
"""

JUDGE = """
import re
def reply(request):
    name, number = re.search(r"(left|right|small) (\\d):", request.messages[-1]["content"]).groups()
    return f"ok\\nscore: {1 + int(number) * 2 + (name == 'right')}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("fuse")
    for name in ("left", "right", "small"):
        (here / f"{name}.py").write_text(f"NAME = {name!r}\n{SCRIPT}")
    (here / "judge.py").write_text(JUDGE)
    rows = [{"prompt": f"question {n}", "answer": "7"} for n in range(20)] + [{"prompt": "all wrong", "answer": "7"}]
    write_jsonl(here / "prompts.jsonl", rows)
    sources = [f"scripted:{here / name}.py" for name in ("left", "right")]
    curate.fuse_collect(
        here / "prompts.jsonl", here / "out", source=sources, target=f"scripted:{here / 'small.py'}", n=3,
        judge=f"scripted:{here / 'judge.py'}", quiet=True,
    )  # fmt: skip
    return here / "out"


def read(path: Path) -> list[dict]:
    return list(read_jsonl(path))


def test_kept_and_dropped_and_the_other_side_are_all_prompts(folder, tmp_path):
    sft = curate.fuse_build("sft", folder, tmp_path / "sft.jsonl", quiet=True)
    dpo = curate.fuse_build("dpo", folder, tmp_path / "dpo.jsonl", margin=(1, 9), quiet=True)
    for built in (sft, dpo):
        assert built.kept + built.reasons.total() + built.other_side == built.prompts == 21
    assert sft.kept + sft.reasons.total() == dpo.other_side
    assert sft.reasons + dpo.reasons == {"all_fail": 1}
    kept = {row["prompt_id"] for name in ("sft", "dpo") for row in read(tmp_path / f"{name}.jsonl")}
    lost = [row for name in ("sft", "dpo") for row in read(tmp_path / f"{name}.dropped.jsonl")]
    assert len(kept) == 20
    assert [(row["messages"][0]["content"], row["dropped"]["reason"]) for row in lost] == [("all wrong", "all_fail")]


def test_samples_are_rows_that_the_trainer_reads(folder, tmp_path):
    curate.fuse_build("sft", folder, tmp_path / "sft.jsonl", share=1, quiet=True)
    row = read(tmp_path / "sft.jsonl")[0]
    assert row["messages"][-1] == {"role": "assistant", "content": "right 2: \\boxed{7}"}
    assert next(read_samples(tmp_path / "sft.jsonl")).response == "right 2: \\boxed{7}"
    built = curate.fuse_build("dpo", folder, tmp_path / "dpo.jsonl", share=0, margin=(4, 4), quiet=True)
    row = read(tmp_path / "dpo.jsonl")[0]
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == (
        "right 2: \\boxed{7}",
        "right 0: nothing",
    )
    assert (row["model"], row["margin"], row["rule"]) == ("scripted:right.py", 4.0, "same_source_bw")
    assert next(read_samples(tmp_path / "dpo.jsonl")).response == "right 2: \\boxed{7}"
    assert (sum(built.margins.counts), built.margins.inside) == (40, 40)


def test_wrpo_takes_the_best_source_and_the_targets_own_best_and_worst(folder, tmp_path):
    curate.fuse_build("wrpo", folder, tmp_path / "w.jsonl", share=0, quiet=True)
    row = read(tmp_path / "w.jsonl")[0]
    told = [row[name][0]["content"] for name in ("chosen_source", "chosen", "rejected")]
    assert told == ["right 2: \\boxed{7}", "small 2: \\boxed{7}", "small 0: nothing"]
    assert (row["rule"], len(row["chosen_ids"]), row["source_model"]) == ("wrpo", 2, "scripted:right.py")
    assert read(tmp_path / "w.dropped.jsonl")[0]["dropped"]["reason"] == "source_all_fail"


def test_the_same_collection_gives_the_same_bytes(folder, tmp_path):
    for name in ("one", "two"):
        curate.fuse_build("wrpo", folder, tmp_path / f"{name}.jsonl", quiet=True)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_the_targets_own_responses_are_a_control(folder, tmp_path):
    built = curate.fuse_build("dpo", folder, tmp_path / "own.jsonl", of="target", margin="none", share=0, quiet=True)
    assert dict(built.models) == {"scripted:small.py": 20}
    assert read(tmp_path / "own.jsonl")[0]["rule"] == "on_policy"


def test_a_window_that_keeps_nothing_shows_the_margins_there_are(folder, tmp_path):
    out = tmp_path / "dpo.jsonl"
    with pytest.raises(InputError, match=r"inside 0.01:0.1: 40 pairs have margins from 4 to 4.*--margin 4:4"):
        curate.fuse_build("dpo", folder, out, share=0, quiet=True)
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["dpo", "--margin", "3:1"], "the margin window is 3:1"),
        (["dpo", "--margin", "wide"], "it takes LOW:HIGH"),
        (["dpo", "--margin", "nan:1"], "the margin window is nan:1"),
        (["sft", "--share", "2"], "share is 2"),
        (["sft", "--share", "0"], "all 21 prompts are on the other side of the split"),
        (["sft", "--out", "x.json"], "name a .jsonl file"),
    ],
)
def test_values_that_cannot_be(folder, arguments, message):
    kind, *rest = arguments
    done = CliRunner().invoke(root, ["fuse", "build", kind, str(folder), *rest])
    assert done.exit_code != 0
    assert message in done.output + str(done.exception)


def test_files_that_do_not_belong_to_each_other(folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    write_jsonl(copy / "verdicts.jsonl", read(copy / "verdicts.jsonl")[1:])
    with pytest.raises(InputError, match=r"verdicts\.jsonl: does not belong"):
        curate.fuse_build("sft", copy, quiet=True)


def test_what_the_command_says(folder, tmp_path):
    out = tmp_path / "w.jsonl"
    done = CliRunner().invoke(root, ["fuse", "build", "wrpo", str(folder), "--share", "0", "--out", str(out)])
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"build wrpo {folder}: kept 20 of 21 prompts, ")
    assert lines[2:4] == ["  math     kept 20; dropped source_all_fail 1", "  from     scripted:right.py 20"]
    assert lines[-1] == f"  curate train wrpo {out} --model TARGET --out DIR"
    as_json = CliRunner().invoke(root, ["fuse", "build", "wrpo", str(folder), "--out", str(out), "--json"])
    assert json.loads(as_json.stdout)["kind"] == "wrpo"
