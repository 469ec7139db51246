"""A whole run, from a dataset to a checkpoint; what it survives, and what it refuses."""

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from xml.etree import ElementTree

import pytest
import torch
from tiny_models import make_model, sample_rows

from curate.errors import InputError, RunError
from curate.io import write_jsonl
from curate.train.data.stream import Stream
from curate.train.progress import Listener
from curate.train.settings import Settings
from curate.train.sft import sft

FAST = {"batch": 16, "epochs": 2, "lr": 5e-3, "save_every": 3, "held_out": 0.1, "samples": 1, "max_length": 128}


@pytest.fixture(scope="module")
def settings(tiny, rows_file, tmp_path_factory):
    return Settings((str(rows_file),), str(tiny), tmp_path_factory.mktemp("out") / "straight", **FAST)


@pytest.fixture(scope="module")
def straight(settings):
    """The run that nothing happens to."""
    return sft(settings)


def weights(out):
    return (out / "model.safetensors").read_bytes()


def steps(out):
    return [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_a_model_that_has_learnt_and_says_how(straight, settings, tiny):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = straight.out
    updates = len(steps(out))
    assert updates == straight.steps == 8
    assert straight.after < straight.before - 0.5
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.config.use_cache is True
    assert tokenizer.chat_template
    before = AutoModelForCausalLM.from_pretrained(tiny)
    assert not torch.equal(model.lm_head.weight, before.lm_head.weight)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {"step", "loss", "lr", "tokens_per_second", "mfu", "padding", "memory", "left"} <= rows[0].keys()
    assert [row["step"] for row in rows if "held_out_loss" in row] == [4, 8]
    assert rows[-1]["tokens"] == sum_of_lengths(out)
    svg = ElementTree.parse(out / "loss.svg")
    # Held-out losses before the first update and after each epoch, from the left edge of the picture to the right one.
    assert [circle.get("cx") for circle in svg.iterfind("{*}circle")] == ["64.0", "452.0", "840.0"]
    (shown,) = json.loads((out / "samples.json").read_text())
    assert shown["prompt"].startswith("<|im_start|>user\nSay ")
    assert shown["prompt"].endswith("<|im_start|>assistant\n")
    assert shown["expected"].endswith("<|im_end|>")
    card = (out / "README.md").read_text()
    assert f"| batch | {settings.batch} |" in card
    assert f"{straight.before:.4f} before, {straight.after:.4f} after" in card
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-8"]
    assert any((out / "tensorboard").iterdir())


def sum_of_lengths(out):
    """Return the tokens of two epochs of what is not held out, from the summary and the held-out part's share."""
    import numpy as np

    from curate.train.data.mixture import held

    (folder,) = [path for path in (out / "tokens").iterdir() if path.is_dir()]
    lengths = np.diff(np.load(folder / "ends.npy"), prepend=0)
    return int(2 * lengths[~held(np.load(folder / "places.npy"), 0.1, 0)].sum())


def test_the_same_command_again_has_nothing_to_do(straight, settings):
    notes, before = [], weights(straight.out)
    assert sft(settings, Listener(say=notes.append)) == straight
    assert notes == [f"{settings.out} holds the model of this very run; nothing to do"]
    assert weights(straight.out) == before


def test_a_killed_run_ends_with_the_same_weights(straight, settings, tmp_path):
    again = replace(settings, out=tmp_path / "killed")
    code = f"""
import os, signal
from pathlib import PosixPath
from curate.train.progress import Listener
from curate.train.settings import Settings
from curate.train.sft import sft
import torch
torch.set_num_threads({torch.get_num_threads()})
sft({again!r}, Listener(watch=lambda now: now.step == 5 and os.kill(os.getpid(), signal.SIGKILL)))
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert steps(again.out) == [1, 2, 3, 4, 5]
    goes_on(again, straight, [f"goes on after update 3 of {straight.steps}"])


def test_a_stream_that_is_killed_ends_with_the_same_weights(settings, tmp_path, monkeypatch):
    rows = [{**row, "output": row["output"] if number % 10 else ""} for number, row in enumerate(sample_rows(60))]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    monkeypatch.setattr("curate.train.feed.Stream", partial(Stream, window=20))
    streamed = replace(settings, datasets=(str(tmp_path / "rows.jsonl"),), stream=True, batch=8)
    notes, seen = [], []
    whole = sft(replace(streamed, out=tmp_path / "whole"), Listener(say=notes.append, watch=seen.append))
    # Three windows of three updates each; a tenth of the rows is held out, and a tenth has no answer.
    assert (whole.steps, whole.samples, whole.dropped) == (18, 47, 4)
    assert whole.after < whole.before - 0.5
    assert seen[-1].tokens == 2 * whole.tokens
    again = replace(streamed, out=tmp_path / "again")
    with pytest.raises(KeyboardInterrupt):
        sft(again, Listener(watch=lambda now: now.step == 11 and interrupt()))
    goes_on(again, whole, ["goes on after update 9 of 18", notes[-1].replace("whole", "again")])
    (dropped,) = (again.out / "tokens").glob("*/dropped.jsonl")
    assert dropped.read_bytes() == (whole.out / dropped.relative_to(again.out)).read_bytes()
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write(json.dumps(rows[1]) + "\n")
    begun = replace(again, steps=1, out=tmp_path / "begun")
    with pytest.raises(KeyboardInterrupt):
        sft(begun, Listener(watch=interrupt))
    write_jsonl(tmp_path / "rows.jsonl", rows[:30])
    with pytest.raises(InputError, match=r"another run \(data was"):
        sft(begun)


def goes_on(again, straight, expected):
    assert not (again.out / "model.safetensors").exists()
    notes = []
    sft(again, Listener(say=notes.append))
    assert notes == expected
    assert steps(again.out) == steps(straight.out)
    assert last_tokens(again.out) == last_tokens(straight.out)
    assert weights(again.out) == weights(straight.out)
    assert (again.out / "samples.json").read_text() == (straight.out / "samples.json").read_text()


def last_tokens(out):
    return json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["tokens"]


def test_a_run_that_ended_while_it_wrote_its_model_writes_it_again(straight, settings, tmp_path, monkeypatch):
    again = replace(settings, out=tmp_path / "late")
    monkeypatch.setattr("curate.train.sft.move_in", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sft(again)
    monkeypatch.undo()
    goes_on(again, straight, [f"goes on after update {straight.steps} of {straight.steps}"])


def test_a_run_that_ended_before_its_first_checkpoint_begins_anew(straight, settings, tmp_path):
    again = replace(settings, out=tmp_path / "early")
    with pytest.raises(KeyboardInterrupt):
        sft(again, Listener(watch=interrupt))
    goes_on(again, straight, [])


def test_a_disk_that_fills_leaves_the_old_checkpoint_to_go_on_from(straight, settings, tmp_path, monkeypatch):
    again = replace(settings, out=tmp_path / "full")
    save, calls = torch.save, []

    def full(*arguments, **options):
        calls.append(1)
        if len(calls) > 4:  # within the second checkpoint
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(*arguments, **options)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RunError, match=r"checkpoint-6 cannot be written \(No space left on device; .*"
                                       r"checkpoint-3 of update 3 is whole: free space"):  # fmt: skip
        sft(again)
    assert [path.name for path in (again.out / "checkpoints").iterdir()] == ["checkpoint-3"]
    monkeypatch.undo()
    sft(again)
    assert weights(again.out) == weights(straight.out)


def test_another_setting_or_dataset_in_the_same_folder_is_refused(straight, settings, tmp_path):
    with pytest.raises(InputError, match=r"holds another run \(lr was 0.005 and is 0.1\); name another folder"):
        sft(replace(settings, lr=0.1))
    # Before the end, the dataset's content is compared too.
    other = tmp_path / "rows.json"
    other.write_text(json.dumps(sample_rows(20)))
    begun = replace(settings, out=tmp_path / "begun", datasets=(str(other),), steps=1, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        sft(begun, Listener(watch=interrupt))
    other.write_text(json.dumps(sample_rows(21)))
    with pytest.raises(InputError, match=r"another run \(data was \['[0-9a-f]{16}'\] and is"):
        sft(begun)


def interrupt(*_):
    raise KeyboardInterrupt


def test_adapters_are_merged_or_kept(settings, tmp_path):
    import peft
    from transformers import AutoModelForCausalLM

    lora = replace(settings, method="lora", lora_rank=4, lr=2e-2)
    merged = sft(replace(lora, out=tmp_path / "merged"))
    kept = sft(replace(lora, out=tmp_path / "kept", merge=False))
    assert merged.trained == kept.trained < merged.parameters / 3
    assert merged.after < merged.before - 0.1
    assert not (kept.out / "model.safetensors").exists()
    ids = torch.tensor([[5, 6, 7, 8]])
    one = AutoModelForCausalLM.from_pretrained(merged.out)(input_ids=ids).logits
    other = peft.AutoPeftModelForCausalLM.from_pretrained(kept.out)(input_ids=ids).logits
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_bfloat16_weights_and_8_bit_states_learn_as_much(settings, straight, tmp_path):
    lean = sft(replace(settings, out=tmp_path / "lean", weights="bfloat16", states="8bit"))
    assert abs(lean.after - straight.after) < 0.1 * (straight.before - straight.after)


def test_recomputing_activations_changes_nothing_and_noise_does(settings, straight, tmp_path):
    short = replace(settings, steps=2, held_out=0.0)
    losses = {}
    for name, more in {"plain": {}, "recompute": {"recompute": 1}, "neftune": {"neftune": 5.0}}.items():
        rows = []
        sft(replace(short, out=tmp_path / name, **more), Listener(watch=rows.append))
        losses[name] = rows[-1].loss
    assert losses["recompute"] == pytest.approx(losses["plain"], rel=1e-6)
    assert losses["neftune"] != pytest.approx(losses["plain"], rel=1e-4)


def test_a_loss_that_is_no_number_stops_the_run(settings, tmp_path):
    from curate.errors import CurateError

    with pytest.raises(CurateError, match=r"the learning rate 1e\+30 may be too high"):
        sft(replace(settings, out=tmp_path / "nan", lr=1e30, warmup=0.0))


def test_what_cannot_work_is_said_before_the_first_step(settings, tmp_path, tokenizer, monkeypatch):
    def refused(words, **more):
        with pytest.raises(InputError, match=words):
            sft(replace(settings, out=tmp_path / "refused" / "out", **more))

    refused("there is no such folder", model=str(tmp_path / "nothing"))
    refused("--max-length 999: the context of .* is 256 tokens", max_length=999)
    refused("--tokens 64: a pack must hold the longest document", tokens=64)
    refused("--batch 0: it takes 1 or more", batch=0)
    refused("--warmup 1.5: it takes a share", warmup=1.5)
    refused("--method qlora: models in 4 bits need a GPU", method="qlora")
    small = make_model(tmp_path / "small", tokenizer)
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**config, "vocab_size": 100}))
    refused(r"tokens of its tokenizer .* have ids up to", model=str(small))
    tokenizer_config = json.loads((small / "tokenizer_config.json").read_text())
    (small / "config.json").write_text(json.dumps(config))
    (small / "tokenizer_config.json").write_text(json.dumps({**tokenizer_config, "chat_template": None}))
    (small / "chat_template.jinja").unlink(missing_ok=True)
    refused("no chat template.*choose one with --template", model=str(small))
    monkeypatch.setitem(sys.modules, "wandb", None)
    refused("--wandb needs Weights & Biases: pip install wandb", wandb=True)
    # Of a command that is refused nothing stays, not even the folders above.
    assert not (tmp_path / "refused").exists()
    monkeypatch.setattr("curate.train.sft.free_bytes", lambda device: 5e5)
    refused(r"training takes about .* are free on this cpu; what fits: --method lora")
    assert not (tmp_path / "refused").exists()


def test_what_would_fit_may_be_trained_into_the_folder_that_was_refused(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("curate.train.sft.check_room", no_room_for_packs)
    large = replace(settings, out=tmp_path / "out", samples=0, steps=1)
    with pytest.raises(InputError, match="too little"):
        sft(large)
    sft(replace(large, method="lora"))
    assert (large.out / "model.safetensors").exists()


def no_room_for_packs(need, room, size, settings, device, budget):
    if budget > 1 and settings.method == "full":
        raise InputError("too little")
