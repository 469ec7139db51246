"""The loop of rounds: how many rows, from which calls, and what is kept beside what."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import combinations

import pytest
import runs
import teacher

from curate.embed import open_encoder
from curate.embed.index import cosine
from curate.finished import open_run
from curate.models import Ledger
from curate.stages.rouge import RougeIndex


class Log:
    """A teacher in process that remembers what it was asked; `asked` holds (prompt, attempt, messages)."""

    def __init__(self, answer=None):
        self.asked: list[tuple[str, str, str]] = []
        self.answer = answer

    async def __call__(self, request):
        self.asked.append((request.prompt, request.attempt, teacher.digest(request.messages)))
        given = self.answer(request) if self.answer else None
        return given or teacher.answer(request.messages, request.schema, request.attempt)

    def of(self, prompt):
        return [(attempt, text) for name, attempt, text in self.asked if name == prompt]


def samples_of(*instructions, **more):
    return json.dumps({"samples": [{"instruction": i, "input": "", "output": "Yes.", **more} for i in instructions]})


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A run of 150 rows over a tree of 13 tasks, with what every filter drops."""
    folder = tmp_path_factory.mktemp("big")
    explore = {"depth": 2, "width": [4, 2], "per_call": 2, "merge_candidates": 2}
    return runs.run(runs.domain_file(folder, explore=explore), folder / "out", Log(), rows=150)


def test_exactly_n_rows_stand_and_all_that_came_is_kept_or_dropped(big):
    kept, gone = runs.accepted(big), runs.dropped(big)
    assert len(kept) == big.accepted == 150
    assert big.exit_code == 0
    assert len(kept) + len(gone) == big.counts["candidates"] + sum(big.counts["lost"].values())
    assert len((big.dataset / "train.jsonl").read_text().splitlines()) == 150
    stages = Counter(row["dropped"]["stage"] for row in gone)
    assert {"rules", "exact", "rouge", "quota"} <= set(stages)
    assert sum(stages.values()) == sum(big.counts["dropped"].values())


def test_the_rows_are_balanced_over_the_tree_within_half_a_call(big):
    tasks = big.counts["per_task"]
    assert sum(task["accepted"] for task in tasks) == 150
    share = 150 / len(tasks)
    assert all(abs(task["accepted"] - share) <= 1 + 5 / 2 for task in tasks), tasks
    per_task = Counter(tuple(row["task"]) for row in runs.accepted(big))
    assert per_task == {tuple(task["task"]): task["accepted"] for task in tasks}


def test_no_accepted_pair_is_above_a_threshold_and_every_near_duplicate_names_a_kept_neighbour_above_it(tmp_path):
    # Half of what this teacher writes is a variation of what it wrote before.
    stock = [teacher.some_words(teacher.random.Random(seed), 14) for seed in range(12)]

    def vary(request):
        if request.prompt != "generate/samples":
            return None
        rng = teacher.random.Random(request.attempt)
        texts = []
        for _ in range(5):
            words = rng.choice(stock).split()
            for _ in range(rng.choice([0, 0, 1, 6, 7, 9])):
                words[rng.randrange(14)] = rng.choice(teacher.vocabulary())
            if rng.random() < 0.5:
                rng.shuffle(words)
            texts.append("Describe " + " ".join(words))
        return samples_of(*texts)

    report = runs.run(runs.domain_file(tmp_path), tmp_path / "out", Log(vary), rows=60)
    kept = {row["id"]: row["messages"][0]["content"] for row in runs.accepted(report)}
    encoder = open_encoder("static")
    threshold = 0.95
    vectors = dict(zip(kept, encoder.encode(list(kept.values())), strict=True))
    index = RougeIndex(0.7, "en")
    for name, text in kept.items():
        assert index.check(text).keep
        index.add(name, text)
    assert max(cosine(vectors[a], vectors[b]) for a, b in combinations(kept, 2)) <= threshold
    seen = Counter()
    for row in runs.dropped(report):
        text, why = row["messages"][0]["content"], row["dropped"]
        seen[why["stage"]] += 1
        if why["stage"] == "rouge":
            pair = RougeIndex(0.7, "en")
            pair.add(why["neighbour"], kept[why["neighbour"]])
            assert not pair.check(text).keep
        if why["stage"] == "dedup":
            score = cosine(encoder.encode([text])[0], vectors[why["neighbour"]])
            assert score > threshold and why["score"] == pytest.approx(score, abs=1e-4)
        if why["stage"] == "exact":
            assert why["neighbour"] in kept
    assert seen["rouge"] and seen["dedup"] and seen["exact"], seen


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_size_of_a_block_changes_nothing(big, tmp_path, monkeypatch, block):
    monkeypatch.setattr("curate.pipeline.rounds.BLOCK", block)
    explore = {"depth": 2, "width": [4, 2], "per_call": 2, "merge_candidates": 2}
    again = runs.run(runs.domain_file(tmp_path, explore=explore), tmp_path / "out", Log(), rows=150)
    assert runs.outcome(again.out) == runs.outcome(big.out)


def test_more_rows_another_threshold_or_a_budget_replay_the_same_calls(tmp_path):
    domain, out = runs.domain_file(tmp_path), tmp_path / "out"
    first = Log()
    runs.run(domain, out, first, rows=20)
    paid = dict(first.of("generate/samples"))
    assert len(paid) == len(first.of("generate/samples"))

    more = Log()
    report = runs.run(domain, out, more, rows=60, budget_calls=10_000)
    assert not set(more.asked) & set(first.asked)
    assert report.stats.replayed == len(paid)
    # A fresh run for 60 rows asks the very same calls as the two runs together.
    whole = Log()
    runs.run(domain, tmp_path / "fresh", whole, rows=60)
    assert sorted(whole.asked) == sorted(first.asked + more.asked)
    assert (tmp_path / "fresh/dataset/train.jsonl").read_bytes() == (out / "dataset/train.jsonl").read_bytes()

    looser = Log()
    runs.run(domain, out, looser, rows=60, threshold=0.5)
    assert not set(looser.asked) & set(whole.asked)
    attempts = defaultdict(set)
    for attempt, _ in whole.of("generate/samples") + looser.of("generate/samples"):
        _, task, number = attempt.split("/")
        attempts[task].add(int(number))
    assert all(numbers == set(range(len(numbers))) for numbers in attempts.values())


def test_what_is_to_spare_is_used_before_another_call_is_made(tmp_path):
    domain, out = runs.domain_file(tmp_path, explore={"depth": 0}, generate={"per_call": 5}), tmp_path / "out"
    log = Log()
    three = runs.run(domain, out, log, rows=3)
    spare = [row for row in runs.dropped(three) if row["dropped"]["reason"] == "surplus"]
    assert len(log.asked) == 1 and spare
    more = Log()
    report = runs.run(domain, out, more, rows=3 + len(spare))
    assert more.asked == []
    assert {row["id"] for row in spare} < {row["id"] for row in runs.accepted(report)}


def test_what_is_to_spare_fills_the_gaps_that_a_spent_budget_leaves(tmp_path):
    # Two calls grow the tree, and two write five samples each for tasks that owe three each.
    domain = runs.domain_file(tmp_path, generate={"per_call": 5})
    report = runs.run(domain, tmp_path / "out", Log(), rows=15, budget_calls=4)
    assert report.stopped == "budget" and report.counts["candidates"] == 10
    assert report.accepted + sum(report.counts["dropped"].values()) == 10
    assert report.accepted > 6 and "quota: surplus" not in report.counts["dropped"]


def test_an_exhausted_task_leaves_its_share_to_the_others(tmp_path):
    def answer(request):
        if request.prompt == "generate/samples" and request.variables["path"][-1] == "Dry":
            return samples_of("Say the one thing that there is to say.")
        return None

    explore = {"depth": 1, "width": [2], "per_call": 1}
    tasks = [{"name": "Dry", "description": "Nothing more."}, {"name": "Wet", "description": "Everything else."}]
    domain = runs.domain_file(tmp_path, explore=explore, tasks=tasks, generate={"saturation": 2})
    report = runs.run(domain, tmp_path / "out", Log(answer), rows=60)
    assert report.accepted == 60 and report.exit_code == 0
    assert report.counts["exhausted"] == [["Help people out", "Dry"]]
    per_task = {task["task"][-1]: task["accepted"] for task in report.counts["per_task"]}
    assert per_task["Dry"] == 1
    # 59 are left to two tasks.
    assert abs(per_task["Wet"] - 29.5) <= 3 and abs(per_task["Help people out"] - 29.5) <= 3


def test_a_teacher_with_nothing_new_ends_the_run_by_saturation(tmp_path):
    log = Log(lambda request: samples_of(runs.TOY["name"] * 3 + " once and", "Again and again the same.")
              if request.prompt == "generate/samples" else None)  # fmt: skip
    domain = runs.domain_file(tmp_path, explore={"depth": 0}, generate={"per_call": 2, "saturation": 3})
    report = runs.run(domain, tmp_path / "out", log, rows=50)
    assert (report.accepted, report.stopped, report.exit_code) == (2, "saturated", 3)
    assert report.counts["exhausted"] == [["Help people out"]]
    rounds = len(log.of("generate/samples"))
    assert rounds == report.counts["calls"] < 50
    assert len(runs.dropped(report)) == 2 * rounds - 2
    assert (report.dataset / "train.jsonl").read_text().count("\n") == 2


def test_demonstrations_are_frozen_with_the_tree_and_drawn_by_the_seed(big, tmp_path):
    tree = json.loads((big.out / "tree.json").read_text())
    rows = runs.accepted(big) + [row for row in runs.dropped(big) if row["dropped"]["stage"] != "generate"]
    by_id = {row["id"]: row for row in tree["tasks"]}
    root = tree["tasks"][0]
    drawn = {}
    for row in rows:
        origin = row["meta"]["generate"]
        task = by_id[origin["task_id"]]
        parent = by_id[task["parent"]] if task["parent"] else root
        pool = {*task.get("examples", ()), *parent.get("examples", ()), *root["examples"]}
        assert set(origin["demonstrations"]) <= pool and len(origin["demonstrations"]) == 2
        assert not task.get("examples") or set(origin["demonstrations"]) & set(task["examples"])
        drawn[origin["task_id"], origin["attempt"]] = origin["demonstrations"]
    assert len({tuple(names) for names in drawn.values()}) > 20
    explore = {"depth": 2, "width": [4, 2], "per_call": 2, "merge_candidates": 2}
    other = runs.run(runs.domain_file(tmp_path, explore=explore), tmp_path / "out", Log(), rows=20, seed=1)
    assert (other.out / "tree.json").read_bytes() != (big.out / "tree.json").read_bytes()


def test_every_row_says_where_it_came_from(big):
    with Ledger(big.out / "calls.sqlite") as ledger:
        for row in runs.accepted(big)[:40]:
            origin = row["meta"]["generate"]
            assert origin["model"] == "scripted" and origin["prompt"] == "generate/samples" and origin["round"] >= 1
            call = ledger.get_many([bytes.fromhex(origin["calls"][-1])])
            text = json.loads(next(iter(call.values())).text)["samples"][origin["position"]]
            assert row["meta"]["source"] == text
            assert row["messages"][0]["content"] == f"{text['instruction']}\n\n{text['input']}".strip()
    assert "latency" not in json.dumps(runs.accepted(big))


def test_reasoning_is_kept_beside_the_row_and_exported_only_where_asked(tmp_path):
    from curate.types import Completion

    async def thinking(request):
        text = teacher.answer(request.messages, request.schema, request.attempt)
        return Completion(text=text, reasoning="First I thought.", finish_reason="stop", model="m")

    report = runs.run(runs.domain_file(tmp_path), tmp_path / "out", thinking, rows=8)
    assert {row["meta"]["generate"]["reasoning"] for row in runs.accepted(report)} == {"First I thought."}
    assert "First I thought." not in (report.dataset / "train.jsonl").read_text()
    shown = runs.run(runs.domain_file(tmp_path, export={"reasoning": True}), tmp_path / "out", thinking, rows=8)
    assert (shown.dataset / "train.jsonl").read_text().count("First I thought.") >= 8
    assert shown.stats.calls == 0


def test_a_judge_drops_what_it_finds_poor_and_keeps_what_it_could_not_grade(tmp_path):
    log = Log()
    domain = runs.domain_file(tmp_path, judge={"rubric": "5: good. 1: bad.", "min_score": 4})
    report = runs.run(domain, tmp_path / "out", log, rows=40)
    assert report.accepted == 40
    graded = [row["meta"]["judge"] for row in runs.accepted(report)]
    assert {note.get("score") for note in graded} == {4, 5, None}
    assert all(note["cause"] == "off_menu" and note["unscored"] for note in graded if "score" not in note)
    assert report.counts["ungraded"] == sum("score" not in note for note in graded) > 0
    assert any(note.startswith("the judge is the teacher, ") for note in report.notes)
    poor = [row for row in runs.dropped(report) if row["dropped"]["stage"] == "judge"]
    assert {row["dropped"]["score"] for row in poor} == {2.0} == {float(row["meta"]["judge"]["score"]) for row in poor}
    # What a free filter drops is never put to the judge.
    free = [row for row in runs.dropped(report) if row["dropped"]["stage"] == "rules"]
    assert free and not any("judge" in row["meta"] for row in free)
    assert len(log.of("judge/quality")) < report.counts["candidates"]


def test_a_setting_that_changes_the_calls_is_not_answered_with_the_old_rows(tmp_path):
    domain, out = runs.domain_file(tmp_path), tmp_path / "out"
    first = runs.run(domain, out, Log(), rows=10)
    warm = runs.domain_file(tmp_path, models={"teacher": {"spec": runs.TEACHER, "temperature": 0.3, "max_tokens": 99}})
    again = runs.run(warm, out, Log(), rows=10)
    assert again.key != first.key


def test_a_setting_that_changes_no_row_leaves_the_rows_as_they_are(tmp_path):
    out = tmp_path / "out"
    first = runs.run(runs.domain_file(tmp_path), out, Log(), rows=10)
    changes = {
        "tasks": [{"name": "A task that the tree, grown already, does not take"}],
        "models": {"teacher": {"spec": runs.TEACHER, "rpm": 5000, "price_in": 1, "price_out": 2}},
        "rubric": "Nobody grades here.",
        "dedup": {"embedder": "static", "threshold": 0.95},
    }
    again = runs.run(runs.domain_file(tmp_path, **changes), out, Log(), rows=10)
    assert (again.key, again.counts["candidates"]) == (first.key, first.counts["candidates"])
    assert again.stats.calls == again.stats.replayed == 0


def test_rows_below_one_are_refused(tmp_path):
    from curate.errors import InputError

    with pytest.raises(InputError, match="rows is 0"):
        runs.run(runs.domain_file(tmp_path), tmp_path / "out", rows=0)
    assert not (tmp_path / "out").exists()


def test_a_gap_that_was_filled_from_another_task_is_not_filled_again(tmp_path):
    """A has one to spare, B and C lack one each: the spare one and one of the two that are asked for then are taken."""
    log = Log()

    def answer(request):
        if request.prompt != "generate/samples":
            return None
        good = 6 if request.variables["path"] == ["Help people out"] else 4
        draw = teacher.random.Random(request.attempt)
        return samples_of(*(f"Explain {teacher.some_words(draw, 12)}" for _ in range(good)))

    log.answer = answer
    tasks = [{"name": "B", "description": "Bees."}, {"name": "C", "description": "Seas."}]
    report = runs.run(runs.domain_file(tmp_path, explore={"width": [2]}, tasks=tasks), tmp_path / "out", log, rows=15)
    assert [task["accepted"] for task in report.counts["per_task"]] == [6, 5, 4]
    assert report.accepted == 15 and len(log.of("generate/samples")) <= 3 + 2


@pytest.mark.parametrize("seed", range(4))
def test_uneven_tasks_never_give_more_rows_than_asked(tmp_path, seed):
    rng = teacher.random.Random(seed)
    yields = {}

    def answer(request):
        if request.prompt != "generate/samples":
            return None
        good = yields.setdefault(request.variables["task_id"], rng.choice([1, 2, 5, 5]))
        draw = teacher.random.Random(request.attempt)
        return samples_of(*(f"Explain {teacher.some_words(draw, 12)}" if n < good else "Short" for n in range(5)))

    rows = rng.randint(7, 40)
    report = runs.run(runs.domain_file(tmp_path), tmp_path / "out", Log(answer), rows=rows, seed=seed)
    assert report.accepted == len(runs.accepted(report)) == rows
    assert len(runs.dropped(report)) == report.counts["candidates"] - rows


def test_what_was_asked_for_last_is_what_the_folder_shows(tmp_path):
    domain, out = runs.domain_file(tmp_path), tmp_path / "toy"
    few = runs.run(domain, out, rows=8)
    assert runs.run(domain, out, rows=12).key != few.key
    (out / "latest.json").write_text('{"name": ')  # mended, too
    assert runs.run(domain, out, rows=8).key == few.key
    assert open_run(out).kept_file.name == f"accepted.{few.key}.jsonl"
