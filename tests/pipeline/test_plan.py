"""The plan of a run, held against what runs with a scripted teacher really took."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
import yaml

from curate.config import load_domain
from curate.errors import InputError
from curate.models import Ledger
from curate.pipeline.estimate import generation, growing
from curate.pipeline.explore import Options, explore_run
from curate.pipeline.grow import first_tree
from curate.pipeline.plan import plan
from curate.types import Completion

WORDS = [
    f"{first}{second}" for first in ("sun", "rain", "wood", "rock") for second in ("light", "fall", "side", "bird")
]
DOMAIN = {
    "name": "toy",
    "root": {"name": "Help people out", "description": "Whatever a person may want to be helped with."},
    "seeds": [
        {
            "instruction": "Suggest a name for a bakery beside a lake that is open in the winter.",
            "output": "Lakeside Loaves would tell people where it is, and that there is bread all year round.",
        },
        {
            "instruction": "Explain to a child why the leaves of some trees turn red in autumn.",
            "output": "The green that makes food for the tree goes first; the red that was there all along stays.",
        },
    ],
    "explore": {"depth": 2, "width": [4, 3], "per_call": 2, "merge_candidates": 0},
    "rouge": None,
    "dedup": None,
}


def text(rng):
    return " ".join(rng.choice(WORDS) for _ in range(13))


def reply(request):
    """A sound reply to anything, with tokens counted as four characters each."""
    rng = random.Random(f"{request.prompt}{request.attempt}")
    count = request.variables.get("count", 1)

    def sample():
        return {"instruction": text(rng), "input": "", "output": text(rng)}

    if request.prompt == "generate/samples":
        written = json.dumps({"samples": [sample() for _ in range(count)]})
    elif request.prompt == "judge/quality":
        written = "Sound in every respect that the rubric names, and clear.\nscore: 5"
    elif request.prompt == "generate/solve":
        written = f"{text(rng)}\n\\boxed{{7}}"
    else:
        tasks = [
            {"name": " ".join(rng.sample(WORDS, 4)), "reason": text(rng), "examples": [sample(), sample()]}
            for _ in range(count)
        ]
        written = json.dumps({"tasks": tasks})
    given = sum(len(message["content"]) for message in request.messages)
    tokens = {"input_tokens": math.ceil(given / 4), "output_tokens": math.ceil(len(written) / 4)}
    return Completion(text=written, finish_reason="stop", model="scripted", **tokens)


@pytest.fixture
def domain(tmp_path):
    def write(**changes):
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.safe_dump({**DOMAIN, **changes}), encoding="utf-8")
        return str(path)

    return write


def options(domain, tmp_path, rows=60, **more):
    return Options(domain=domain, out=tmp_path / "run", teacher=reply, rows=rows, **more)


def used(folder):
    """Calls and tokens of each stage, from the ledger."""
    with Ledger(folder / "calls.sqlite") as ledger:
        return {t.stage: (t.calls, t.input_tokens, t.output_tokens) for t in ledger.totals()}


def steps(made):
    """The plan's calls by step."""
    return {step.name: step.calls for step in made.steps}


def test_growth_is_exact_where_every_answer_is_new(domain, tmp_path):
    made = plan(options(domain(), tmp_path))
    report = explore_run(options(domain(), tmp_path))
    assert (made.tasks, len(report.counts["per_task"])) == (17, 17)
    assert (steps(made)["lookahead"], steps(made)["backtrack"]) == (5, 5)
    assert report.counts["explore"]["lookahead"] == 5
    assert report.counts["explore"]["backtrack"] == 5


def test_tokens_and_calls_are_near_what_the_run_takes(domain, tmp_path):
    made = plan(options(domain(), tmp_path))
    explore_run(options(domain(), tmp_path))
    real = used(tmp_path / "run")
    for stage in ("explore", "generate"):
        planned = [step for step in made.steps if step.stage == stage]
        given, written = sum(step.tokens[0] for step in planned), sum(step.tokens[1] for step in planned)
        calls = sum(step.calls for step in planned)
        assert given / calls == pytest.approx(real[stage][1] / real[stage][0], rel=0.25)
        assert written / calls == pytest.approx(real[stage][2] / real[stage][0], rel=0.35)
    # Every candidate was accepted, where 70 % had been guessed: up to that much more.
    assert real["generate"][0] < steps(made)["generate"] <= real["generate"][0] / 0.7 + 1


def test_finished_run_is_paid_for(domain, tmp_path):
    explore_run(options(domain(), tmp_path))
    again = plan(options(domain(), tmp_path))
    assert list(steps(again)) == ["generate"]
    assert (again.paid, again.tokens) == (again.calls, (0, 0))
    assert again.calls == used(tmp_path / "run")["generate"][0]
    assert "as in the latest run in" in again.basis


def test_planning_writes_nothing(domain, tmp_path):
    explore_run(options(domain(), tmp_path))

    def state():
        return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "run").glob("*.*")}

    before = state()
    plan(options(domain(), tmp_path, rows=200))
    assert state() == before and "calls.sqlite" in before


def test_more_rows_pay_for_what_is_new(domain, tmp_path):
    explore_run(options(domain(), tmp_path))
    paid = used(tmp_path / "run")["generate"][0]
    made = plan(options(domain(), tmp_path, rows=200))
    assert made.paid == paid
    given, written = made.tokens
    explore_run(options(domain(), tmp_path, rows=200))
    real = used(tmp_path / "run")["generate"]
    assert made.calls == pytest.approx(real[0], abs=2)
    before = paid / real[0]
    assert given == pytest.approx(real[1] * (1 - before), rel=0.1)
    assert written == pytest.approx(real[2] * (1 - before), rel=0.1)


def test_interrupted_tree_is_partly_paid_for(domain, tmp_path):
    report = explore_run(options(domain(), tmp_path, budget_calls=7))
    assert report.stopped == "budget"
    made = plan(options(domain(), tmp_path))
    assert [(step.name, step.calls, step.paid) for step in made.steps[:2]] == [("lookahead", 5, 5), ("backtrack", 5, 2)]


def test_votes_and_grades_are_asked_for_what_the_free_filters_pass(domain, tmp_path):
    checked = {"verify": {"kind": "math", "votes": 3}, "judge": {"rubric": "Be clear.", "min_score": 3}}
    path = domain(**checked)
    made = steps(plan(options(path, tmp_path)))
    asked = math.ceil(made["generate"] * 5 * 0.9)
    assert (made["verify"], made["judge"]) == (3 * asked, asked)


def test_deeper_tree_grows_on(domain, tmp_path):
    explore_run(options(domain(), tmp_path, tree_only=True))
    assert "lookahead" not in steps(plan(options(domain(), tmp_path)))
    deeper = domain(explore={**DOMAIN["explore"], "depth": 3, "width": [4, 3, 2]})
    made = plan(options(deeper, tmp_path))
    assert (made.tasks, steps(made)["lookahead"]) == (17 + 24, 12)
    assert "backtrack" not in steps(made)


def test_given_tasks_are_not_asked_for(domain):
    given = domain(tasks=[{"name": "Cook", "tasks": [{"name": "Bake"}]}, {"name": "Sew"}])
    found = load_domain(given)
    growth = growing(found, first_tree(found))
    # The root and Cook have sub-tasks, and are asked for alternatives; Sew and two new ones look ahead first.
    assert (growth.lookahead, growth.backtrack, growth.added) == (3, 1 + 1 + 3, 2 + 2 + 9)


def test_cap_on_tasks_ends_growth(domain):
    found = load_domain(domain(explore={"depth": 6, "width": 10, "max_tasks": 500}))
    growth = growing(found, first_tree(found))
    assert growth.added + 1 == 500
    assert growth.lookahead < 500


@pytest.mark.parametrize(("rows", "good", "calls"), [(100, 5.0, 20), (101, 5.0, 21), (60, 3.5, 18), (3, 0.3, 10)])
def test_calls_of_the_loop(rows, good, calls):
    assert generation(rows, good) == calls


def test_costs_are_of_what_is_left(domain, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    priced = {"teacher": {"spec": "openai:m@http://127.0.0.1:9/v1", "price_in": 1.0, "price_out": 10.0}}
    made = plan(Options(domain=domain(models=priced), out=tmp_path / "run", rows=60, budget_usd=0.01, budget_calls=9))
    given, written = made.tokens
    assert made.cost == pytest.approx((given + 10 * written) / 1e6)
    assert [note.split(" is likely")[0] for note in made.notes] == [
        "the budget of 9 calls",
        "the budget of 0.01 US dollars",
    ]
    unknown = {"teacher": {"spec": "openai:m@http://127.0.0.1:9/v1"}}
    assert plan(Options(domain=domain(models=unknown), out=tmp_path / "run", rows=60)).cost is None
    assert not (tmp_path / "run").exists()


def test_folder_of_another_run_is_named(domain, tmp_path):
    explore_run(options(domain(), tmp_path, rows=5))
    made = plan(options(domain(), tmp_path, rows=5, seed=3))
    assert made.notes == [f"{tmp_path / 'run'} holds a run with another seed: give another folder, --out"]
    assert made.paid == 0


def test_phrase_is_not_planned(tmp_path):
    with pytest.raises(
        InputError, match="'tax law' is no shipped domain or file, so the teacher would draft one first"
    ):
        plan(options("tax law", tmp_path))


def test_outline_is_counted(tmp_path):
    outline = Path(tmp_path / "law.txt")
    outline.write_text("Law\n- Tenancy\n  - Deposits\n- Contracts\n", encoding="utf-8")
    made = plan(Options(tree=str(outline), teacher=reply, out=tmp_path / "run", rows=10))
    assert (made.tasks, list(steps(made))) == (4, ["generate"])


def test_a_model_that_costs_money_is_planned_without_its_key(domain, tmp_path, monkeypatch):
    for variable in ("CURATE_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    made = plan(Options(domain=domain(), out=tmp_path / "out", teacher="openai:gpt-5-mini", rows=20))
    assert made.models == {"teacher": "gpt-5-mini"} and made.cost > 0
