"""One call of the teacher: what it asks, and the candidates in its reply."""

from __future__ import annotations

import json

import pytest

from curate.config import Domain
from curate.generate.candidates import Writer, example_problem, make_sample
from curate.prompt import Reply
from curate.tree import TaskTree
from curate.types import Completion, Failure


def example(number):
    return {"instruction": f"Do thing {number} for me.", "input": "", "output": f"Done {number}."}


@pytest.fixture
def tree():
    made = TaskTree("Root", "Everything", [example(number) for number in range(6)])
    top = made.add(made.root.id, "Top", "The top.", [example(10), example(11)]).task
    made.add(top.id, "Leaf", "A leaf.", [example(20), example(21)])
    made.add(top.id, "Bare", "Without examples.")
    return made


def writer(tree, seed=0, **generate):
    return Writer(Domain.general("toy", "Root", generate=generate, guidance="Be kind."), tree, seed)


def test_demonstrations_are_drawn_from_the_task_its_parent_and_the_seeds_and_from_nowhere_else(tree):
    leaf, top = tree.named("Leaf"), tree.named("Top")
    pool = {*leaf.examples, *top.examples, *tree.root.examples}
    draws = [writer(tree).demonstrations(leaf, attempt) for attempt in range(60)]
    assert all(len(set(drawn)) == 2 and drawn[0] in leaf.examples and set(drawn) <= pool for drawn in draws)
    assert {name for drawn in draws for name in drawn} == pool


def test_a_task_without_examples_borrows_and_a_tree_without_any_shows_none(tree):
    bare = tree.named("Bare")
    assert len(writer(tree).demonstrations(bare, 0)) == 2
    assert writer(TaskTree("Root")).demonstrations(TaskTree("Root").root, 0) == []
    assert len(writer(tree, demonstrations=0).demonstrations(bare, 0)) == 0
    assert len(writer(tree, demonstrations=50).demonstrations(bare, 0)) == 8


def test_a_draw_depends_on_seed_task_and_attempt_alone(tree):
    leaf, bare = tree.named("Leaf"), tree.named("Bare")
    draws = {
        (seed, task.id, attempt): tuple(writer(tree, seed).demonstrations(task, attempt))
        for seed in (0, 1) for task in (leaf, bare) for attempt in range(8)
    }  # fmt: skip
    assert draws == {key: tuple(writer(tree, key[0]).demonstrations(tree.get(key[1]), key[2])) for key in draws}
    assert len({drawn for key, drawn in draws.items() if key[1] == leaf.id}) > 4


def test_a_request_says_who_asks_what_and_which_call_it_is(tree):
    leaf = tree.named("Leaf")
    request = writer(tree, seed=7, per_call=3).request((leaf, 4))
    assert request.attempt == f"7/{leaf.id}/4" and request.stage == "generate" and request.role == "teacher"
    assert request.variables["path"] == ["Root", "Top", "Leaf"] and request.variables["count"] == 3
    assert request.schema["properties"]["samples"]["maxItems"] == 3
    text = "\n".join(message["content"] for message in request.messages)
    assert all(part in text for part in ("A leaf.", "Be kind.", '"Top"'))


def reply(rows, model="m"):
    return Reply({"samples": rows}, None, (Completion(key="aa", model=model), Completion(key="bb", model=model)))


def test_a_sample_keeps_what_the_model_wrote_and_says_where_it_came_from(tree):
    leaf = tree.named("Leaf")
    row = {"instruction": "  Sum these.\n", "input": "1 2", "output": "Answer: 42. "}
    [sample] = writer(tree).samples((leaf, 2), reply([row]), 3)
    assert sample.messages == (
        {"role": "user", "content": "Sum these.\n\n1 2"},
        {"role": "assistant", "content": "Answer: 42."},
    )
    assert sample.task == ("Root", "Top", "Leaf") and sample.meta["source"] == row
    origin = sample.meta["generate"]
    assert origin["calls"] == ["aa", "bb"] and (origin["round"], origin["attempt"], origin["position"]) == (3, 2, 0)
    assert origin["prompt"] == "generate/samples" and len(origin["demonstrations"]) == 2


def test_only_a_teacher_that_computes_its_answers_can_give_one(tree):
    row = {"instruction": "Sum 1 and 1.", "input": "", "output": "3", "answer": "3", "kind": ["x"], "extra": 1}
    [claimed] = writer(tree).samples((tree.root, 0), reply([row]), 1)
    assert "answer" not in claimed.meta["generate"] and "kind" not in claimed.meta["generate"]
    known = {**row, "kind": "sums"}
    [computed] = writer(tree).samples((tree.root, 0), reply([known], "procedural-1"), 1)
    assert (computed.meta["generate"]["answer"], computed.meta["generate"]["kind"]) == ("3", "sums")


def test_a_lost_call_keeps_its_keys_and_the_head_of_what_was_written(tree):
    failed = Reply(None, Failure("unreadable", "no"), (Completion(key="aa", text="x" * 9000),))
    lost = writer(tree).lost((tree.root, 3), failed, 2)
    assert lost.id == f"call-{tree.root.id}-3" and lost.messages == () and lost.task == ("Root",)
    assert lost.meta["generate"]["calls"] == ["aa"] and len(lost.meta["generate"]["reply"]) == 2000


def test_examples_are_held_to_the_rules_of_samples():
    domain = Domain.general("toy", "Root", rules={"instruction": {"min_words": 3}})
    assert example_problem(example(1), domain) == ""
    assert example_problem({"instruction": "Hi", "output": "Hello there"}, domain) == "too_short"


def test_equal_texts_are_equal_samples_whatever_their_origin():
    row = {"instruction": "A", "input": "", "output": "B"}
    assert make_sample(row, ("x",), {}).id == make_sample({**row, "input": None}, ("y",), {"a": 1}).id
    assert make_sample({**row, "output": "C"}, ("x",), {}).id != make_sample(row, ("x",), {}).id
    assert json.dumps(make_sample(row, ("x",), {}).messages)
