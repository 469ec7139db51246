"""Why a sample is there: found by id or line, its prompt held against the ledger, its calls, its cost, its verdicts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import runs
import teacher
from click.testing import CliRunner

from curate.cli import root
from curate.cli.why import lines
from curate.errors import InputError
from curate.io import read_jsonl, write_jsonl
from curate.pipeline.find import find_row
from curate.pipeline.reviews import Review, journal_of, read_reviews
from curate.pipeline.why import why
from curate.types import Completion

CHANGES = {
    "explore": {"depth": 2, "width": [4, 2], "per_call": 2, "merge_candidates": 2},
    "judge": {"rubric": "5: sound. 1: not.", "min_score": 4},
    "verify": {"kind": "math", "votes": 3},
}
BAD = "I would \x1b]0;owned\x07rather not."


async def reply(request):
    """The tests' teacher, with tokens and a price; one task gets no samples at all."""
    if request.attempt.endswith("/1") and request.stage == "generate":
        return Completion(text=BAD, input_tokens=10, output_tokens=5, cost=0.25, finish_reason="stop")
    text = await teacher.reply(request)
    return Completion(text=text, input_tokens=100, output_tokens=50, cost=0.5, latency=2.0, finish_reason="stop")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("why")
    report = runs.run(runs.domain_file(folder, **CHANGES), folder / "runs/toy", reply, rows=50)
    assert report.accepted == 50
    return report.out


def rows(run, dropped=False):
    (path,) = [path for path in run.glob("accepted.*.jsonl") if path.name.endswith(".dropped.jsonl") == dropped]
    return list(read_jsonl(path))


def by(run, stage):
    return next(row for row in rows(run, dropped=True) if row["dropped"]["stage"] == stage)


def test_a_kept_sample_is_explained_whole(run):
    row = rows(run)[20]
    made = why(row["id"][:8], run)
    assert (made.id, made.kept, made.task, made.messages) == (row["id"], True, tuple(row["task"]), row["messages"])
    assert made.prompt.sent is True and row["task"][-1] in made.prompt.messages[-1]["content"]
    assert len(made.demonstrations) == 2
    assert all(shown["instruction"] in made.prompt.messages[-1]["content"] for shown in made.demonstrations)
    assert Counter(call.stage for call in made.calls) == {"generate": 1, "verify": 3, "judge": 1}
    written = json.loads(made.calls[0].text)["samples"]
    assert written[row["meta"]["generate"]["position"]]["instruction"] in row["messages"][0]["content"]
    assert [(stage.name, stage.outcome) for stage in made.stages] == [
        (name, "passed") for name in ("rules", "exact", "rouge", "dedup", "verify", "judge", "quota")
    ]
    near = next(other for other in rows(run) if other["id"] == row["meta"]["dedup"]["nearest"])
    assert (made.near.id, made.near.instruction) == (near["id"], near["messages"][0]["content"])
    assert made.near.score == row["meta"]["dedup"]["score"]


def test_the_costs_of_all_samples_of_a_call_are_what_it_cost(run):
    """No money is lost between the samples, and none is counted twice."""
    first = rows(run)[20]["meta"]["generate"]["calls"]
    together = [row for row in [*rows(run), *rows(run, dropped=True)] if row["meta"]["generate"]["calls"] == first]
    shares = [why(row["id"], run) for row in together]
    assert {made.share.samples for made in shares} == {5} and len(together) == 5
    checks = [call for made in shares for call in made.calls if call.stage != "generate"]
    assert sum(made.share.cost for made in shares) == pytest.approx(0.5 + 0.5 * len(checks))
    assert sum(made.share.tokens for made in shares) == pytest.approx(150 + 150 * len(checks))


@pytest.mark.parametrize(
    ("stage", "passed", "unreached", "said"),
    [
        ("rules", "", "exact rouge dedup verify judge quota", "forbidden_word, field instruction, value picture"),
        ("verify", "rules exact rouge dedup", "judge quota", "answer_disagrees, answer"),
        ("judge", "rules exact rouge dedup verify", "quota", "judge_low_score, score 2 (dropped below 4)"),
    ],
)
def test_a_dropped_sample_says_how_far_it_came(run, stage, passed, unreached, said):
    made = why(by(run, stage)["id"], run)
    outcomes = {name: [one.name for one in made.stages if one.outcome == name] for name in ("passed", "not reached")}
    assert outcomes == {"passed": passed.split(), "not reached": unreached.split()}
    (end,) = [one for one in made.stages if one.outcome == "dropped"]
    assert end.name == stage and end.detail.startswith(said)
    assert not made.kept and made.prompt.sent is True


def test_a_near_duplicate_names_what_it_was_too_near_to(run):
    row = by(run, "rouge")
    made = why(row["id"], run)
    assert made.near.id == row["dropped"]["neighbour"] and made.near.score == row["dropped"]["score"] > 0.7
    assert made.near.instruction.startswith("Suggest seven cheap ways")
    assert next(one for one in made.stages if one.outcome == "dropped").detail.endswith("(dropped above 0.7)")


def test_a_lost_call_shows_what_the_model_wrote(tmp_path):
    def lost(request):
        return BAD if request.prompt in ("generate/samples", "repair") else teacher.answer(
            request.messages, request.schema, request.attempt)  # fmt: skip

    report = runs.run(runs.domain_file(tmp_path), tmp_path / "out", lost, rows=5)
    made = why("call-", report.out) if report.counts["calls"] == 1 else why(runs.dropped(report)[0]["id"], report.out)
    assert made.messages == [] and made.prompt.sent is True and len(made.demonstrations) == 2
    assert [call.text for call in made.calls] == [BAD, BAD] and made.share.samples == 1
    assert [(stage.name, stage.outcome) for stage in made.stages] == [("generate", "dropped")]
    shown = "\n".join(lines(made, 80, 24))
    assert "reply" in shown and "\x07" not in shown and "rather not" in shown


def test_a_changed_domain_is_not_passed_off_as_the_prompt_that_was_sent(run, tmp_path):
    import shutil

    copy = tmp_path / "toy"
    shutil.copytree(run, copy)
    ident = rows(copy)[0]["id"]
    settings = (copy / "run.yaml").read_text()
    (copy / "run.yaml").write_text(settings.replace("guidance: ''", "guidance: Be brief."))
    made = why(ident, copy)
    assert made.prompt.sent is False and "Be brief." in made.prompt.messages[-1]["content"]
    assert "have changed since" in made.prompt.note
    (copy / "calls.sqlite").unlink()
    assert why(ident, copy).share is None and why(ident, copy).calls[0].text is None
    (copy / "run.yaml").write_text("identity: {seed: 0}\n")
    assert why(ident, copy).prompt.sent is None


def test_copies_and_decisions_by_hand_are_named(run, tmp_path):
    import shutil

    copy = tmp_path / "toy"
    shutil.copytree(run, copy)
    kept = rows(copy)[3]
    (dropped,) = copy.glob("accepted.*.dropped.jsonl")
    again = {**kept, "dropped": {"stage": "exact", "reason": "exact_duplicate", "score": 1.0, "neighbour": kept["id"]}}
    with dropped.open("a") as file:
        file.write(json.dumps(again) + "\n")
    summary = next(copy.glob("*.summary.json"))
    counts = json.loads(summary.read_text())
    counts["dropped"]["exact: exact_duplicate"] = counts["dropped"].get("exact: exact_duplicate", 0) + 1
    summary.write_text(json.dumps(counts))
    read_reviews(journal_of(copy)).decide(kept["id"], Review("reject", "wrong", author="ada"))
    made = why(kept["id"], copy)
    assert made.kept and made.copies == ["exact: exact_duplicate"]
    assert (made.review.decision, made.review.reason, made.review.author) == ("reject", "wrong", "ada")
    assert any("rejected by ada" in line for line in lines(made, 100, None))


def test_rows_are_found_by_line_by_file_and_by_the_run_that_ended_last(run, monkeypatch):
    monkeypatch.chdir(run.parent.parent)
    twelfth = rows(run)[11]["id"]
    assert why(twelfth[:10]).id == twelfth
    assert why("runs/toy:12").id == why("runs/toy/dataset/train.jsonl:12").id == twelfth
    (path,) = Path("runs/toy").glob("accepted.*.dropped.jsonl")
    assert why(f"{path}:1").id == rows(run, dropped=True)[0]["id"]
    assert why(f"{path}:1").prompt.sent is True


@pytest.mark.parametrize(
    ("row", "where", "said"),
    [
        ("zz", "runs/toy", r"no row has an id that begins with 'zz'; `curate show runs/toy` shows ids"),
        ("", "runs/toy", r"which row\? Give its id"),
        ("runs/toy:51", None, r"there is no row 51; it has 50, counted from 1"),
        ("runs/toy:0", None, r"there is no row 0"),
        ("call-", "runs/nope", r"runs/nope: there is no such file or folder"),
        ("a", "notes.txt", r"notes.txt: neither a run's folder nor a .jsonl file"),
    ],
)
def test_what_is_not_there_is_said(run, monkeypatch, row, where, said):
    monkeypatch.chdir(run.parent.parent)
    Path("notes.txt").write_text("")
    with pytest.raises(InputError, match=said):
        find_row(row, where)


def test_an_ambiguous_beginning_lists_its_ids(run, tmp_path, monkeypatch):
    idents = Counter(row["id"][0] for row in rows(run))
    letter, _ = idents.most_common(1)[0]
    with pytest.raises(InputError, match=rf"\d+ ids begin with '{letter}' \({letter}[0-9a-f]+, .*give more of it"):
        why(letter, run)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"which run\? There is none in runs/ here"):
        why("a")


def wrote(*arguments):
    done = CliRunner().invoke(root, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output


def test_files_of_filter_and_dedup_are_explained_as_far_as_they_go(tmp_path):
    texts = ["Name a river.", "Name a river!", "Name a tall mountain in the north.", "Draw a picture of it."]
    write_jsonl(tmp_path / "data.jsonl", [{"instruction": text, "input": "", "output": "Well."} for text in texts])
    wrote("dedup", tmp_path / "data.jsonl", "--out", tmp_path / "clean.jsonl")
    made = why(f"{tmp_path}/clean.dropped.jsonl:1")
    assert (made.kept, made.prompt, made.calls, made.share) == (False, None, [], None)
    assert {made.near.instruction, made.messages[0]["content"]} == {"Name a river.", "Name a river!"}
    assert made.stages[-1].outcome == "dropped"
    (tmp_path / "rules.yaml").write_text("instruction: {forbidden_words: [picture]}\n")
    wrote("filter", tmp_path / "clean.jsonl", "--rules", tmp_path / "rules.yaml", "--out", tmp_path / "good.jsonl")
    assert "forbidden_word" in why(f"{tmp_path}/good.dropped.jsonl:1").stages[-1].detail
    kept = why(f"{tmp_path}/good.jsonl:2")
    assert kept.kept and kept.messages[0]["content"] == texts[2]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "Why?", "completion": "So."}', "this row has no id, .*; `curate view` shows anybody's dataset"),
        ('{"id": "a", "instruction": "Why?"}', r"the row 'a' is no sample of a run"),
        ('{"id": "a", "task": [], "messages": [', r"a row is damaged"),
        ("[]", "this row has no id"),
    ],
)
def test_rows_that_nobody_here_wrote_are_named(tmp_path, line, said):
    path = tmp_path / "data.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=rf"data\.jsonl: .*{said}"):
        why(f"{path}:1")
    done = CliRunner().invoke(root, ["show", str(path)])
    assert isinstance(done.exception, InputError)


@pytest.mark.parametrize("height", [24, 40, 60])
@pytest.mark.parametrize("width", [79, 119])
def test_it_fits_one_screen_and_full_cuts_nothing(run, height, width):
    made = why(rows(run)[20]["id"], run)
    shown = lines(made, width, height)
    assert len(shown) <= height
    plain = [line.replace("\x1b[2m", "").replace("\x1b[0m", "").replace("\x1b[1m", "") for line in shown]
    assert max(map(len, plain)) <= width
    whole = "".join("".join(lines(made, width, None)).replace("\x1b[2m", "").replace("\x1b[0m", "").split())
    assert "…" not in whole
    assert "".join(made.calls[0].text.split()) in whole
    assert "".join(made.prompt.messages[0]["content"].split()) in whole
