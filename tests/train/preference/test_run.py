"""Whole runs on preferences: TRL's curves, what is kept for other runs, what a kill leaves, and the commands."""

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from tiny_models import pair_rows

import curate
from curate.cli import root
from curate.errors import InputError
from curate.io import write_jsonl
from curate.train import attention, run_training
from curate.train.feed import dealt
from curate.train.flops import work_of
from curate.train.model import end_in_loss, set_attention
from curate.train.preference import run
from curate.train.preference.packs import LAYOUTS
from curate.train.preference.run import PreferenceTrainer
from curate.train.preference.settings import Dpo, Wrpo
from curate.train.progress import Listener, Speed
from curate.train.steps import Steps

CPU = torch.device("cpu")
FAST = {"batch": 8, "lr": 5e-3, "epochs": 2, "save_every": 2, "held_out": 0.2, "samples": 0, "max_length": 128}


def model_of(folder):
    from transformers import AutoModelForCausalLM

    attention.register()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def trainer_of(tiny, groups, tokenizer, out, settings, layout="shared", tell=lambda progress: None, **options):
    model = model_of(tiny)
    end_in_loss(model)
    set_attention(model, "sdpa")
    update, in_epoch = dealt(groups, lambda epoch: range(len(groups)), options.pop("batch", 4))
    steps = Steps(update, in_epoch, layout=LAYOUTS[layout], **{"budget": 4096, "epochs": 1, **options})
    settings = replace(settings, out=out, lr=1e-3, schedule="linear", warmup=0.0, clip=0.0, samples=0)
    return PreferenceTrainer(
        model, settings, steps, Speed(work_of(model), 1e9), CPU, total=len(steps), tokenizer=tokenizer, tell=tell,
        held_out=None,
    )  # fmt: skip


def gradients(trainer):
    trainer.create_optimizer()
    loss = trainer.training_step(trainer.model, trainer.train_dataset[0])
    return loss, {name: weight.grad for name, weight in trainer.model.named_parameters()}


WAYS = {
    "accumulated": {"budget": 150},
    "one group at a time": {"packed": False},
    "apart": {"layout": "apart"},
    "apart, accumulated": {"layout": "apart", "budget": 200},
    "padded": {"layout": "padded", "packed": False},
    "padded packs": {"pad_to": 64},
}


def test_shared_padded_and_accumulated_give_the_same_gradient(tiny, groups_of, tokenizer, tmp_path):
    settings, groups = Wrpo(("x",), str(tiny), tmp_path, alpha_schedule="constant"), groups_of(8, Wrpo.sides)
    loss, whole = gradients(trainer_of(tiny, groups, tokenizer, tmp_path, settings, batch=8))
    for way, options in WAYS.items():
        other, parts = gradients(trainer_of(tiny, groups, tokenizer, tmp_path, settings, batch=8, **options))
        torch.testing.assert_close(other, loss, msg=way)
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-7, msg=f"{way}: {name}")


def test_the_parts_of_several_processes_average_to_the_whole(tiny, groups_of, tokenizer, tmp_path, monkeypatch):
    settings, groups = Dpo(("x",), str(tiny), tmp_path), groups_of(5)
    loss, whole = gradients(trainer_of(tiny, groups, tokenizer, tmp_path, settings, batch=5, budget=100))
    losses, sums = 0, {}
    for rank in range(2):
        trainer = trainer_of(tiny, groups, tokenizer, tmp_path, settings, batch=5, budget=100, rank=rank, world=2)
        with monkeypatch.context() as patch:
            patch.setattr(type(trainer.args), "world_size", property(lambda self: 2))
            part, own = gradients(trainer)
        losses += part / 2
        sums = {name: sums.get(name, 0) + gradient / 2 for name, gradient in own.items()}
    torch.testing.assert_close(losses, loss)
    for name, gradient in whole.items():
        torch.testing.assert_close(sums[name], gradient, rtol=1e-3, atol=1e-7, msg=name)


@pytest.mark.parametrize(("ours", "theirs", "beta"), [("dpo", "sigmoid", 0.5), ("ln-dpo", "sigmoid_norm", 10.0)])
def test_the_curve_is_that_of_trl(tiny, groups_of, tokenizer, tmp_path, ours, theirs, beta):
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from torch.utils.data import SequentialSampler

    groups, curve = [replace(group, reference=(-60.0, -55.0)) for group in groups_of(12)], []
    settings = Dpo(("x",), str(tiny), tmp_path, loss=ours, beta=beta)
    trainer_of(tiny, groups, tokenizer, tmp_path / "ours", settings, tell=curve.append).train()

    class AsTheyAre(trl.DPOTrainer):
        def _prepare_dataset(self, dataset, *arguments):
            return dataset

        def _precompute_ref_logps(self, dataset, *arguments):
            return dataset

        def _get_train_sampler(self, *arguments):
            return SequentialSampler(self.train_dataset)

    # What follows the end of the turn has no loss with us, and is left out for both.
    given = {"ref_chosen_logps": -60.0, "ref_rejected_logps": -55.0}
    rows = []
    for group in groups:
        chosen, rejected = ([one for one in answer.labels if one >= 0] for answer in group.answers)
        rows.append({"prompt_ids": group.prompt.input_ids, "chosen_ids": chosen, "rejected_ids": rejected, **given})
    arguments = trl.DPOConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=4, num_train_epochs=1, learning_rate=1e-3,
        lr_scheduler_type="linear", weight_decay=0.0, max_grad_norm=0.0, logging_steps=1, save_strategy="no",
        report_to=[], disable_tqdm=True, use_cpu=True, bf16=False, gradient_checkpointing=False, max_length=None,
        loss_type=[theirs], beta=beta, precompute_ref_log_probs=True,
    )  # fmt: skip
    other = AsTheyAre(model_of(tiny), args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    other.train()
    logged = [row for row in other.state.log_history if "loss" in row]
    assert len(logged) == 3
    assert [row.loss for row in curve] == pytest.approx([row["loss"] for row in logged], rel=2e-4)
    assert [row.more["accuracy"] for row in curve] == [row["rewards/accuracies"] for row in logged]
    if ours == "dpo":
        assert [row.more["margin"] for row in curve] == pytest.approx(
            [row["rewards/margins"] for row in logged], rel=1e-3
        )


@pytest.fixture(scope="module")
def settings(tiny, pairs_file, tmp_path_factory):
    return Dpo((str(pairs_file),), str(tiny), tmp_path_factory.mktemp("runs") / "straight", **FAST)


@pytest.fixture(scope="module")
def straight(settings):
    """The run that nothing happens to."""
    return run_training(replace(settings, samples=1))


def weights(out):
    return (out / "model.safetensors").read_bytes()


def rows(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_what_sharing_saves_is_said(settings, tmp_path):
    notes = []
    with pytest.raises(KeyboardInterrupt):
        run_training(replace(settings, out=tmp_path / "said"), Listener(say=notes.append, watch=interrupt))
    (note,) = notes
    pattern = r"a prompt is encoded once .*: ([\d,]+) tokens instead of ([\d,]+) \((\d\.\d\d) times as many\)"
    once, each, times = (float(text.replace(",", "")) for text in re.fullmatch(pattern, note).groups())
    assert times == pytest.approx(each / once, abs=0.006)
    assert 1.3 < times < 1.9


def test_a_run_learns_which_answer_is_better_and_says_how_well(straight, settings):
    first, *_, last = rows(straight.out)
    # Before the first update the model is its own reference.
    assert (first["margin"], first["accuracy"], first["loss"]) == (0.0, 0.0, pytest.approx(0.693147, abs=1e-5))
    assert last["margin"] > 0.2 and last["accuracy"] > 0.7
    assert last["margin"] == pytest.approx(last["chosen_reward"] - last["rejected_reward"], rel=1e-4)
    assert straight.before == pytest.approx(0.693147, abs=1e-5)
    assert straight.after == last["held_out_loss"] < 0.6
    assert straight.more["held_out_accuracy"] == last["held_out_accuracy"] > 0.7
    card = (straight.out / "README.md").read_text()
    assert "with `curate train dpo`" in card and "| beta | 0.1 |" in card
    (shown,) = json.loads((straight.out / "samples.json").read_text())
    assert shown["prompt"].endswith("<|im_start|>assistant\n") and shown["expected"].endswith("<|im_end|>")


def test_another_run_beside_it_finds_the_references(straight, settings, tmp_path_factory, monkeypatch):
    asked = []
    plain = run.answer_logprobs
    monkeypatch.setattr(run, "answer_logprobs", lambda *given: asked.append(torch.is_grad_enabled()) or plain(*given))
    other = replace(settings, out=settings.out.parent / "other", loss="ln-dpo", held_out=0.0, steps=1)
    run_training(other)
    assert asked and all(asked)  # every pass was one of training
    elsewhere = replace(other, out=settings.out.parent / "elsewhere" / "other")
    asked.clear()
    run_training(elsewhere)
    assert asked[0] is False
    assert [path.name for path in (elsewhere.out.parent / "references").iterdir()] == [
        path.name for path in (settings.out.parent / "references").iterdir()
    ]


def test_simpo_asks_for_no_references(settings, tmp_path):
    done = run_training(replace(settings, out=tmp_path / "simpo", loss="simpo", steps=2))
    assert not (tmp_path / "references").exists()
    assert done.after < done.before


def interrupt(*_):
    raise KeyboardInterrupt


def goes_on(again, straight):
    notes = []
    run_training(again, Listener(say=notes.append))
    assert notes[-1] == f"goes on after update 2 of {straight.steps}"
    assert weights(again.out) == weights(straight.out)
    names = ("step", "loss", "margin", "accuracy", "chosen_logp")
    assert [[row[name] for name in names] for row in rows(again.out)] == [
        [row[name] for name in names] for row in rows(straight.out)
    ]


def test_a_run_that_is_interrupted_ends_with_the_same_weights(straight, settings, tmp_path):
    again = replace(settings, out=tmp_path / "interrupted")
    with pytest.raises(KeyboardInterrupt):
        run_training(again, Listener(watch=lambda now: now.step == 3 and interrupt()))
    assert [row["step"] for row in rows(again.out)] == [1, 2, 3]
    goes_on(again, straight)


@pytest.mark.slow  # another process that loads PyTorch; what it does is what the test above does
def test_a_killed_run_ends_with_the_same_weights(straight, settings, tmp_path):
    again = replace(settings, out=tmp_path / "killed")
    code = f"""
import os, signal
from pathlib import PosixPath
from curate.train import run_training
from curate.train.progress import Listener
from curate.train.preference.settings import Dpo
import torch
torch.set_num_threads({torch.get_num_threads()})
run_training({again!r}, Listener(watch=lambda now: now.step == 3 and os.kill(os.getpid(), signal.SIGKILL)))
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    goes_on(again, straight)


def test_adapters_and_lean_weights_learn_too(settings, tmp_path):
    for name, more in {
        "adapters, one group at a time": {"method": "lora", "lora_rank": 4, "lr": 2e-2, "pack": False},
        "lean": {"weights": "bfloat16", "states": "8bit"},
    }.items():
        done = run_training(replace(settings, out=tmp_path / name, **more))
        assert done.after < done.before - 0.05, name


def test_alpha_rises_over_the_run(tiny, pairs_file, tmp_path):
    told = []
    wrpo = Wrpo((str(pairs_file),), str(tiny), tmp_path / "out", alpha=0.4, **{**FAST, "batch": 12, "held_out": 0.0})
    run_training(wrpo, Listener(watch=told.append))
    assert [now.more["alpha"] for now in told] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert {"chosen_source_reward", "chosen_source_logp"} <= told[0].more.keys()
    assert told[-1].more["chosen_source_reward"] > 0 > told[-1].more["rejected_reward"]
    assert [replace(wrpo, alpha_schedule="constant").weight(step, 4) for step in range(4)] == [0.4] * 4


def test_the_commands_train_and_the_functions_find_their_models(tiny, tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", pair_rows(12))
    common = {"steps": 2, "batch": 4, "held_out": 0.2, "max_length": 128}
    words = ["--model", str(tiny), "--steps", "2", "--batch", "4", "--held-out", "0.2", "--max-length", "128"]
    for kind, more, function in (
        ("dpo", ["--loss", "ln-dpo"], lambda **given: curate.train_dpo(loss="ln-dpo", **given)),
        ("wrpo", ["--recipe", "wrpo"], lambda **given: curate.train_wrpo(recipe="wrpo", **given)),
    ):
        out = tmp_path / kind
        command = ["train", kind, str(tmp_path / "rows.jsonl"), "--out", str(out), *words, *more]
        done = CliRunner().invoke(root, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("2 updates on ")
        assert "with the chosen one ahead, margin " in done.stdout
        assert f"Next: read {out / 'README.md'}" in done.stdout
        again = CliRunner().invoke(root, [*command, "--json", "--quiet"], catch_exceptions=False)
        found = function(datasets=tmp_path / "rows.jsonl", model=tiny, out=out, quiet=True, **common)
        assert found.as_json() == json.loads(again.stdout)


def test_what_cannot_work_is_said_before_the_first_step(settings, tmp_path):
    def refused(words, given=settings, **more):
        with pytest.raises(InputError, match=words):
            run_training(replace(given, out=tmp_path / "refused", **more))

    refused("--loss wrpo: curate train dpo takes dpo, ln-dpo, simpo", loss="wrpo")
    refused("--beta 0: it takes a number above 0", beta=0.0)
    refused("--gamma 1: --loss dpo has no margin", gamma=1.0)
    refused("does not stream", stream=True)
    refused("adds no noise", neftune=5.0)
    refused("--long split: an answer cannot be split", long="split")
    refused(
        r"--tokens 64: a pack must hold a prompt with all its answers, .*; a smaller --max-length",
        tokens=64,
        max_length=64,
    )
    wrpo = Wrpo(settings.datasets, settings.model, settings.out)
    refused("--alpha 2: it takes 0 to 1", wrpo, alpha=2.0)
    refused("--alpha-schedule square: it takes linear, constant", wrpo, alpha_schedule="square")
    rows = [{key: value for key, value in row.items() if key != "chosen_source"} for row in pair_rows(4)]
    write_jsonl(tmp_path / "pairs.jsonl", rows)
    refused("there is no 'chosen_source' in its rows", wrpo, datasets=(str(tmp_path / "pairs.jsonl"),))
    write_jsonl(tmp_path / "equal.jsonl", [{**row, "rejected": row["chosen"]} for row in rows])
    refused(r"none of its 4 samples .* \(equal_answers 4\)", datasets=(str(tmp_path / "equal.jsonl"),))
