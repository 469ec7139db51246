"""Mathematics in the loop: votes, answers that cannot be had, and verdicts that are kept."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import runs
import teacher

from curate.models import Ledger
from curate.types import Failure

SAMPLES = [
    ("What is the double of twenty one, and why is it even?", "It is twice 21. \\boxed{42}"),
    ("How many days do six full weeks have altogether?", "Answer: 42."),
    ("Half of a cake is shared by two, what part does each get?", "So it is \\boxed{\\frac{1}{4}}."),
    ("Which number is nine more than thirty three in total?", "A hard one, nobody can tell for sure."),
    ("What remains of a hundred after taking away fifty eight?", "We subtract: \\boxed{43}"),
    ("Name the product of the primes two, three and seven.", "Multiply them. \\boxed{42}"),
    ("Find the sum of all whole numbers from one to ten.", "They pair up: \\boxed{55}"),
]
TRUE = {0: "42", 1: "42", 2: "0.25", 3: "42", 4: "42", 5: "42", 6: "55"}


class Mathematician:
    """Gives the seven samples in one call each, then nothing new; solves them as `solve(number, vote)` says."""

    def __init__(self, solve=lambda number, vote: f"\\boxed{{{TRUE[number]}}}"):
        self.solve = solve
        self.asked = Counter()

    async def __call__(self, request):
        self.asked[request.prompt] += 1
        if request.prompt == "generate/samples":
            rows = [{"instruction": q, "input": "", "output": a} for q, a in SAMPLES]
            return json.dumps({"samples": rows})
        vote = int(request.attempt.rpartition("/")[2])
        number = [q for q, _ in SAMPLES].index(request.variables["problem"])
        return self.solve(number, vote)


def solve_all(tmp_path, model, **changes):
    changes = {"explore": {"depth": 0}, "verify": {"kind": "math", **changes}, "generate": {"saturation": 1}}
    domain = runs.domain_file(tmp_path, **changes)
    report = runs.run(domain, tmp_path / "out", model, rows=20)
    kept = {row["messages"][0]["content"]: row for row in runs.accepted(report)}
    gone = {row["messages"][0]["content"]: row for row in runs.dropped(report) if row["dropped"]["stage"] == "verify"}
    return report, kept, gone


def test_a_sample_stands_by_the_majority_of_three_independent_solutions(tmp_path):
    model = Mathematician()
    report, kept, gone = solve_all(tmp_path, model)
    texts = [text for text, _ in SAMPLES]
    assert set(kept) == {texts[number] for number in (0, 1, 2, 5, 6)}
    assert set(gone) == {texts[3], texts[4]}
    # What came is what stands: an answer is never patched, whatever its form.
    for number in (0, 1, 2, 5, 6):
        assert kept[texts[number]]["messages"][1]["content"] == SAMPLES[number][1]
    assert gone[texts[3]]["dropped"]["reason"] != gone[texts[4]]["dropped"]["reason"]
    assert model.asked["generate/solve"] == 3 * len(SAMPLES)
    noted = kept[texts[0]]["meta"]["verify"]
    assert len(noted["calls"]) == 3 and noted["answer"] == "42"
    with Ledger(tmp_path / "out/calls.sqlite") as ledger:
        assert len(ledger.get_many([bytes.fromhex(key) for key in noted["calls"]])) == 3
    # The same wrong sample came in every call of the round; its votes were asked for once.
    assert report.counts["dropped"]["verify: " + gone[texts[4]]["dropped"]["reason"]] == report.counts["calls"]


def test_without_a_majority_a_sample_is_dropped_with_its_votes(tmp_path):
    model = Mathematician(lambda number, vote: f"\\boxed{{{number * 10 + vote}}}" if number < 6 else "\\boxed{55}")
    _, kept, gone = solve_all(tmp_path, model)
    assert set(kept) == {SAMPLES[6][0]}
    why = gone[SAMPLES[0][0]]["dropped"]
    assert why["reason"] == "no_majority" and sorted(why["votes"]) == ["0", "1", "2"]


def test_a_solution_without_an_answer_is_a_vote_for_nothing(tmp_path):
    model = Mathematician(lambda number, vote: f"\\boxed{{{TRUE[number]}}}" if vote == 0 else "Who knows?")
    _, kept, gone = solve_all(tmp_path, model)
    assert kept == {} and gone[SAMPLES[0][0]]["dropped"]["reason"] == "no_majority"
    second = tmp_path / "two of three"
    second.mkdir()
    model = Mathematician(lambda number, vote: f"\\boxed{{{TRUE[number]}}}" if vote else "Who knows?")
    _, kept, _ = solve_all(second, model)
    assert len(kept) == 5


def test_the_number_of_votes_is_the_domain_file_s(tmp_path):
    model = Mathematician()
    _, kept, _ = solve_all(tmp_path, model, votes=1)
    assert len(kept) == 5 and all(len(row["meta"]["verify"]["calls"]) == 1 for row in kept.values())


def test_verdicts_are_kept_in_the_ledger_and_never_computed_twice(tmp_path, monkeypatch):
    from curate.verify import MathChecker

    first, kept, _ = solve_all(tmp_path, Mathematician())
    before = runs.outcome(first.out)
    for path in first.out.glob("accepted.*"):
        path.unlink()

    def no_worker(self):
        raise AssertionError("a verdict was computed again")

    monkeypatch.setattr(MathChecker, "_spawn", no_worker)
    monkeypatch.setattr(MathChecker, "start", lambda self: None)
    again, _, _ = solve_all(tmp_path, Mathematician())
    assert again.stats.calls == 0 and runs.outcome(again.out) == before
    assert SAMPLES[2][0] in kept, "the fraction needs mathematics to equal 0.25"


def test_the_file_of_what_was_dropped_is_the_same_whatever_was_ready_first(tmp_path, monkeypatch):
    """Rules drop before votes are counted, and how far ahead they are is a matter of timing."""
    import asyncio
    import random

    monkeypatch.setattr("curate.pipeline.rounds.BLOCK", 2)

    def late(seed):
        rng = random.Random(seed)

        async def reply(request):
            await asyncio.sleep(rng.uniform(0, 0.02))
            return teacher.answer(request.messages, request.schema, request.attempt)

        return reply

    outcomes = []
    for seed in range(2):
        out = tmp_path / str(seed)
        rules = {"instruction": {"forbidden_words": ["picture", "birthday"]}}
        domain = runs.domain_file(tmp_path, verify={"kind": "math"}, rules=rules)
        runs.run(domain, out, late(seed), rows=25)
        outcomes.append(runs.outcome(out))
    assert outcomes[0] == outcomes[1]


def test_a_budget_that_ends_among_the_votes_drops_nobody_for_good(tmp_path):
    model = Mathematician()
    domain = runs.domain_file(
        tmp_path, explore={"depth": 0}, verify={"kind": "math"}, generate={"saturation": 1, "per_call": 7}
    )
    part = runs.run(domain, tmp_path / "out", model, rows=5, budget_calls=9)
    assert part.stopped == "budget" and part.accepted < 5
    reasons = Counter(row["dropped"]["reason"] for row in runs.dropped(part))
    assert reasons["unverified_budget"] > 0 and "no_majority" not in reasons
    whole = runs.run(domain, tmp_path / "out", model, rows=5)
    assert whole.accepted == 5 and whole.exit_code == 0


def test_votes_that_were_lost_on_the_way_are_told_by_cause_and_asked_again(tmp_path):
    """Of three votes one is right, one says nothing, and one is lost: two right ones would have been a majority."""
    votes = [Failure("timeout", "no reply"), None, "Nobody can tell."]
    model = Mathematician(lambda number, vote: votes[vote] or f"\\boxed{{{TRUE[number]}}}")
    _, kept, gone = solve_all(tmp_path, model)
    assert not kept
    assert Counter(row["dropped"]["reason"] for row in gone.values()) == {"unverified_timeout": 6, "no_final_answer": 1}
    again = Mathematician()
    report, kept, gone = solve_all(tmp_path, again)
    assert report.accepted == 5 and again.asked == {"generate/solve": 7}
    assert {row["dropped"]["reason"] for row in gone.values()} == {"no_final_answer", "answer_disagrees"}


@pytest.mark.parametrize("output", ["Answer: 42.", "**Answer:** 42", "The result is \\boxed{42}."])
def test_an_answer_is_read_in_many_forms_and_left_as_it_stands(tmp_path, output):
    async def reply(request):
        if request.prompt == "generate/samples":
            return json.dumps({"samples": [{"instruction": "What is six times seven?", "input": "", "output": output}]})
        return "\\boxed{42}"

    domain = runs.domain_file(tmp_path, explore={"depth": 0}, verify={"kind": "math"})
    report = runs.run(domain, tmp_path / "out", reply, rows=1)
    assert [row["messages"][1]["content"] for row in runs.accepted(report)] == [output]
    line = json.loads((report.dataset / "train.jsonl").read_text())
    assert line["messages"][-1]["content"] == output


def test_a_budget_is_spent_on_checks_too_and_more_of_it_ends_as_if_there_had_been_none(tmp_path):
    domain = runs.domain_file(tmp_path, verify={"kind": "math"}, generate={"per_call": 5})
    whole = runs.run(domain, tmp_path / "whole", rows=60)
    paid = whole.stats.calls
    half = runs.run(domain, tmp_path / "half", rows=60, budget_calls=paid // 2)
    assert half.stopped == "budget" and half.stats.calls <= paid // 2
    # Every call that writes samples needs about a dozen that check them: asked first, they would take all of it.
    assert half.accepted >= 15
    rest = runs.run(domain, tmp_path / "half", rows=60, budget_calls=2 * paid)
    assert runs.accepted(rest) == runs.accepted(whole) and runs.dropped(rest) == runs.dropped(whole)
