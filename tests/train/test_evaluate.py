"""`curate eval`: losses against the model's own logits, replies against one prompt at a time, and what is refused."""

import json
import math
import sys

import pytest
import torch
from click.testing import CliRunner
from tiny_models import make_model, make_tokenizer, sample_rows

import curate
from curate.cli import root
from curate.errors import InputError, MissingExtraError
from curate.train import evaluate as module
from curate.train.data.templates import find_template
from curate.train.data.tokens import NO_LOSS, Coder
from curate.train.replies import batches_of, gold_of, last_number, problem_of, replies
from curate.train.scores import Mean, Share, mean_of
from curate.train.settings import Settings
from curate.types import Sample

SUMS = [(2, 3), (4, 5), (10, 7), (6, 6), (20, 1), (8, 3)]


@pytest.fixture(scope="module")
def problems_file(tmp_path_factory):
    """Six problems in GSM8K's layout."""
    path = tmp_path_factory.mktemp("problems") / "sums.jsonl"
    rows = [{"question": f"What is {a} + {b}?", "answer": f"It is {a + b}.\n#### {a + b}"} for a, b in SUMS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def second(tmp_path_factory, tokenizer):
    """Another model with the same tokens."""
    return make_model(tmp_path_factory.mktemp("second") / "second", tokenizer, kind="qwen2")


def coder_of(tokenizer):
    return Coder(tokenizer, find_template(None, tokenizer), 256)


def test_losses_are_those_of_the_models_own_logits(tiny, rows_file, tokenizer, tmp_path):
    from transformers import AutoModelForCausalLM

    from curate.io import read_samples

    found = curate.eval(tiny, data=rows_file, out=tmp_path, quiet=True)
    model = AutoModelForCausalLM.from_pretrained(tiny)
    expected, targets = [], []
    for coded in coder_of(tokenizer).encode(list(read_samples(rows_file)), "rows"):
        (document,) = coded.documents
        with torch.no_grad():
            logp = model(torch.tensor([document.input_ids])).logits[0].log_softmax(-1)
        places = [place for place, label in enumerate(document.labels) if label != NO_LOSS]
        expected.append(-sum(float(logp[place - 1, document.labels[place]]) for place in places))
        targets.append(len(places))
    (scores,) = found.scores
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    rows = sorted(map(json.loads, (folder / "losses.jsonl").read_text().splitlines()), key=lambda row: row["number"])
    assert [row["targets"] for row in rows] == targets
    assert [row["loss"] for row in rows] == pytest.approx(expected, rel=1e-5)
    assert scores.loss.value == pytest.approx(sum(expected) / sum(targets), rel=1e-6)
    assert scores.perplexity == pytest.approx(math.exp(scores.loss.value))
    assert (scores.samples, scores.targets, scores.exact) == (60, sum(targets), None)


def test_adapters_are_measured_in_the_model_they_were_trained_on(tiny, rows_file, tokenizer, tmp_path):
    import peft
    from transformers import AutoModelForCausalLM

    adapters = tmp_path / "adapters"
    options = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False}
    torch.manual_seed(1)
    adapted = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny), peft.LoraConfig(**options)).eval()
    adapted.save_pretrained(adapters)
    tokenizer.save_pretrained(adapters)
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    tokenizer.save_pretrained(tmp_path / "merged")
    models = [tiny, adapters, tmp_path / "merged"]
    found = curate.eval(models, data=rows_file, out=tmp_path / "out", quiet=True)
    before, kept, merged = (one.loss.value for one in found.scores)
    assert kept == merged != pytest.approx(before, abs=1e-3)
    assert found.differences[0].loss.value == pytest.approx(kept - before)
    with pytest.raises(InputError, match=r"adapters on .*tiny: new adapters kept apart, or on 4 bits, would lose them"):
        curate.train_sft(rows_file, model=adapters, out=tmp_path / "x", method="lora", merge=False, quiet=True)
    settings = json.loads((adapters / "adapter_config.json").read_text())
    (adapters / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": "/gone"}))
    with pytest.raises(InputError, match="adapters, adapters on /gone: "):
        curate.eval(adapters, data=rows_file, out=tmp_path / "out", quiet=True)
    (adapters / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"its adapter_config.json names no base_model_name_or_path"):
        curate.eval(adapters, data=rows_file, out=tmp_path / "out", quiet=True)


def test_intervals():
    assert mean_of([1.0, 3.0], [1, 1]) == Mean(2.0, pytest.approx(1.959964))
    # Long samples weigh more: 9 tokens of loss 1 and one of loss 2.
    assert mean_of([9.0, 2.0], [9, 1]).value == pytest.approx(1.1)
    assert mean_of([2.0], [4]) == Mean(0.5, None)
    # Wilson's interval of 0 of 10 and of 5 of 10 (Brown et al. 2001, table).
    assert Share(0, 10).interval == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert Share(5, 10).interval == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_replies_of_a_batch_are_those_of_one_prompt_at_a_time(tiny, tokenizer):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny)
    coder = coder_of(tokenizer)
    samples = [
        Sample(str(n), ({"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": "#### 1"}))
        for n, row in enumerate(sample_rows(6))
    ]
    problems = [problem_of(n, one, coder) for n, one in enumerate(coder.encode(samples, "rows"))]
    assert len({len(problem.prompt) for problem in problems}) > 2
    assert tokenizer.decode(problems[0].prompt).endswith("<|im_start|>assistant\n")
    (batch,) = batches_of(problems, 12, 10_000)
    said = replies(model, tokenizer, coder, batch, 12, Settings(("rows",), str(tiny), tiny))
    for problem, reply in zip(batch, said, strict=True):
        ids = torch.tensor([problem.prompt])
        for _ in range(12):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], 1)
        new = ids[0, len(problem.prompt) :].tolist()
        end = next((n for n, token in enumerate(new) if token == tokenizer.eos_token_id), len(new))
        assert reply == tokenizer.decode(new[:end], skip_special_tokens=True)


def test_batches_hold_no_more_than_there_is_room_for():
    from curate.train.replies import Problem

    problems = [Problem(n, [1] * length, "1") for n, length in enumerate([5, 30, 10, 30, 100])]
    batches = batches_of(problems, 20, 100)
    assert [[one.number for one in batch] for batch in batches] == [[4], [1, 3], [2, 0]]


def test_known_answers_come_from_columns_teachers_and_marks():
    turns = ({"role": "user", "content": "q"}, {"role": "assistant", "content": "So.\n#### 42"})
    assert gold_of(Sample("a", turns)) == "42"
    assert gold_of(Sample("a", turns, meta={"source": {"final_answer": 7}})) == "7"
    assert gold_of(Sample("a", turns, meta={"source": {"answer": r"Thus \boxed{9}."}})) == "9"
    assert gold_of(Sample("a", turns, meta={"generate": {"answer": "41"}})) == "41"
    assert gold_of(Sample("a", (turns[0], {"role": "assistant", "content": "42"}))) is None
    assert [last_number(text) for text in ("1,200 of 3,400.", "x = -2.5", "none")] == ["3400", "-2.5", None]


SAID = {
    "tiny": ["It is 6", "#### 9", "#### 17", "Answer: 13", "no idea", "#### 11.0"],
    "second": ["#### 5", "#### 9", "so 17", r"\boxed{\frac{24}{2}}", "#### 21", "#### 12"],
}


@pytest.fixture
def told(monkeypatch):
    """Let the models say what SAID has; `fail` is a number of batches after which generating ends."""
    told = {"batches": 0, "fail": None}

    def say(model, tokenizer, coder, batch, new, settings):
        if told["batches"] == told["fail"]:
            raise KeyboardInterrupt
        told["batches"] += 1
        return [SAID[settings.model.rpartition("/")[2]][problem.number] for problem in batch]

    monkeypatch.setattr(module, "replies", say)
    monkeypatch.setattr(module, "ROOM", {"cpu": 120, "cuda": 120})
    return told


def test_before_and_after_side_by_side(tiny, second, problems_file, tmp_path, told, monkeypatch):
    words = ["eval", str(tiny), str(second), "--data", str(problems_file), "--out", str(tmp_path), "--new-tokens", "30"]
    done = CliRunner().invoke(root, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0].startswith(f"{problems_file}: 6 samples, ") and lines[0].endswith("; 6 problems")
    assert lines[1] == "tiny second"
    assert lines[4:7] == [
        "exact match 50 % (19 % to 81 %) 67 % (30 % to 90 %)",
        "last number 50 % (19 % to 81 %) 83 % (44 % to 97 %)",
        "no mark 33 % (9.7 % to 70 %) 17 % (3 % to 56 %)",
    ]
    assert lines[7].endswith("; 3 more problems right, 2 no longer")
    found = json.loads(CliRunner().invoke(root, [*words, "--json", "--quiet"], catch_exceptions=False).stdout)
    assert found == json.loads((tmp_path / "results.json").read_text())
    first, other = found["scores"]
    counts = [(one["exact"]["right"], one["lenient"]["right"], one["unmarked"]["right"]) for one in (first, other)]
    assert counts == [(3, 3, 2), (4, 5, 1)]
    (change,) = found["differences"]
    assert (change["gained"], change["lost"]) == (3, 2)
    assert change["loss"]["value"] == pytest.approx(other["loss"]["value"] - first["loss"]["value"])
    assert change["loss"]["half"] < first["loss"]["half"] + other["loss"]["half"]
    # Figures that are there already need no model.
    monkeypatch.setattr(module, "open_model", None)
    again = curate.eval([tiny, second], data=problems_file, out=tmp_path, new_tokens=30, quiet=True)
    assert again.as_json() == found


def test_a_run_that_ended_goes_on_behind_its_last_batch(tiny, problems_file, tmp_path, told):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    curate.eval(tiny, data=problems_file, out=straight, new_tokens=30, quiet=True)
    batches = told["batches"]
    assert batches > 2
    told.update(batches=0, fail=2)
    with pytest.raises(KeyboardInterrupt):
        curate.eval(tiny, data=problems_file, out=broken, new_tokens=30, quiet=True)
    (path,) = broken.glob("*/answers.jsonl")
    with path.open("a") as file:
        file.write('{"number": 3, "go')  # a line that a kill cut off
    told.update(batches=0, fail=None)
    curate.eval(tiny, data=problems_file, out=broken, new_tokens=30, quiet=True)
    assert told["batches"] == batches - 2
    for name in ("answers.jsonl", "losses.jsonl", "dropped.jsonl"):
        assert next(broken.glob(f"*/{name}")).read_bytes() == next(straight.glob(f"*/{name}")).read_bytes()


def test_losses_of_other_tokens_are_not_compared(tiny, rows_file, tmp_path):
    small = make_tokenizer([row["instruction"] for row in sample_rows(20)], size=280)
    other = make_model(tmp_path / "other", small)
    found = curate.eval([tiny, other], data=rows_file, out=tmp_path / "out", limit=5, quiet=True)
    assert found.differences[0].loss is None
    assert [one.samples for one in found.scores] == [5, 5]


def test_what_cannot_work_is_said_before_a_model_is_loaded(tiny, rows_file, tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(module, "open_model", None)

    def refused(words, models=tiny, data=rows_file, **options):
        with pytest.raises(InputError, match=words):
            curate.eval(models, data=data, out=tmp_path / "out", quiet=True, **options)

    def file(name, *rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    refused("there is no such folder", models=str(tmp_path / "nothing"))
    refused("MODEL .*tiny: it is named twice", models=[tiny, tiny])
    refused("there is no such file or folder", data=tmp_path / "nothing.jsonl")
    refused("--limit 0: it takes 1 or more", limit=0)
    refused("--max-length 999: the context of .* is 256 tokens", max_length=999)
    refused("empty.jsonl: the dataset is empty", data=file("empty.jsonl"))
    refused("columns.jsonl:1: no known format has the fields body", data=file("columns.jsonl", {"body": "a"}))
    good = {"instruction": "Say a.", "output": "a"}
    refused(
        r"missing.jsonl:2: expected text in the field 'output'", data=file("missing.jsonl", good, {"instruction": "b"})
    )
    silent = file("silent.jsonl", {"instruction": "Say nothing.", "output": " "})
    refused(r"none of its 1 samples has a target token \(empty_response 1\)", data=silent)
    plain = make_model(tmp_path / "plain", tokenizer)
    (plain / "chat_template.jinja").unlink()
    refused("plain: the model's tokenizer has no chat template.*choose one with --template", models=plain)
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused("curate eval runs in one process")


def test_without_torch_the_extra_is_named(tiny, rows_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"curate eval needs the extra 'train': pip install"):
        curate.eval(tiny, data=rows_file, out=tmp_path, quiet=True)
