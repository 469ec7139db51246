import asyncio
import json
import subprocess
import sys

from curate.models.procedural import Procedural, serves
from curate.types import Completion, Request


def send(prompt, **variables) -> Completion:
    return asyncio.run(Procedural().send(Request("teacher", (), 100, prompt=prompt, variables=variables)))


def ask(prompt, **variables):
    completion = send(prompt, domain=variables.pop("domain", "math"), **variables)
    assert completion.failure is None
    assert (completion.input_tokens, completion.output_tokens, completion.cost) == (0, 0, 0.0)
    return json.loads(completion.text)


def samples(path, attempt=0, count=5, task_id="t", seed=7, domain="math"):
    variables = {
        "path": path,
        "attempt_number": attempt,
        "count": count,
        "task_id": task_id,
        "seed": seed,
        "domain": domain,
    }
    return ask("generate/samples", **variables)["samples"]


def test_it_serves_the_two_mathematics_domains():
    assert [serves(d) for d in ("math", "math-zh", "law", "")] == [True, True, False, False]


def test_importing_it_loads_no_computer_algebra():
    code = "import sys, curate.models.procedural as p; p.serves('math'); print('sympy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_lookahead_gives_branches_with_two_examples_each():
    tasks = ask("explore/lookahead", path=["Solve mathematical problems"], existing=[], count=3)["tasks"]
    assert len(tasks) == 3
    assert tasks[0]["name"] == "Arithmetic and Finance"
    for task in tasks:
        assert task["reason"]
        first, second = task["examples"]
        assert set(first) == {"instruction", "input", "output"}
        assert first["instruction"] != second["instruction"]


def test_lookahead_never_repeats_what_exists_and_ends():
    path, seen = ["root", "arithmetic  and finance"], []
    for prompt in ("explore/lookahead", "explore/backtrack") * 6:
        tasks = ask(prompt, path=path, existing=seen, count=2)["tasks"]
        assert len(tasks) <= 2
        seen += [task["name"] for task in tasks]
    assert len(seen) == len(set(seen)) == 6
    assert ask("explore/lookahead", path=path, existing=seen, count=2) == {"tasks": []}


def test_a_task_with_nothing_below_and_an_unknown_task_have_no_sub_tasks():
    for path in (["root", "Arithmetic and Finance", "Mixtures"], ["root", "Arithmetic and Finance", "Abacus"]):
        assert ask("explore/lookahead", path=path, existing=[], count=4) == {"tasks": []}


def test_samples_are_those_of_the_task():
    kinds = {s["kind"] for s in samples(["root", "Arithmetic and Finance", "Interest and Savings"], count=6)}
    assert kinds == {"simple_interest", "compound_interest"}
    # An unknown name below a known task gets the known task's kinds.
    assert {s["kind"] for s in samples(["root", "Mixtures", "Antifreeze"])} == {"mixture"}


def test_samples_are_deterministic_and_attempts_differ():
    path = ["root", "Arithmetic and Finance"]
    assert samples(path) == samples(path)
    texts = [s["instruction"] for attempt in range(6) for s in samples(path, attempt)]
    assert len(set(texts)) == len(texts)
    for other in (samples(path, seed=8), samples(path, task_id="u")):
        assert not {s["instruction"] for s in other} & {s["instruction"] for s in samples(path)}


def test_a_sample_ends_in_its_answer():
    for sample in samples(["root"], count=20):
        assert sample["input"] == ""
        assert f"\\boxed{{{sample['answer']}}}" in sample["output"].splitlines()[-1]


def test_what_it_cannot_serve_names_three_ways_to_a_model():
    refusals = [send("generate/samples", domain="law"), send("generate/solve", domain="math", problem="1+1")]
    for completion in refusals:
        assert completion.failure.kind == "bad_request"
        for way in ("--teacher openai:NAME@URL", "--teacher vllm:NAME", "models: {teacher: {spec:"):
            assert way in completion.failure.message
    assert "'law'" in refusals[0].failure.message
    assert "'generate/solve'" in refusals[1].failure.message


def test_same_task_knows_its_aliases_only():
    def same(name, *others):
        candidates = [{"number": i + 3, "name": o, "description": "", "path": []} for i, o in enumerate(others)]
        task = {"name": name, "description": "", "path": []}
        return ask("explore/same_task", task=task, candidates=candidates)["same"]

    assert same("Mixture problems", "Percentages", "Mixtures") == 4
    assert same("Mixtures", "Percentages") == 0
    assert same("Greatest common divisor", "Least Common Multiples", "highest common factor") == 4
    assert same("First-order differential equations", "Second-Order Differential Equations") == 0
    assert same("Tensor fields", "tensor  FIELDS") == 3


def test_chinese_tasks_are_those_it_has_words_for():
    path, seen = ["解答数学题", "离散数学与统计"], []
    seen = [t["name"] for t in ask("explore/lookahead", domain="math-zh", path=path, existing=[], count=9)["tasks"]]
    assert "递推" in seen
    assert "图论" not in seen
    sample = samples([*path, "递推"], domain="math-zh", count=1)[0]
    assert sample["kind"] == "recurrence"
    assert any("\u4e00" <= sign <= "\u9fff" for sign in sample["instruction"])
