"""Whole runs of token-level fusion, from the settings and from the command, and what they refuse."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from asked import header_of, write_asked
from click.testing import CliRunner
from tiny_models import make_model

import curate
from curate.cli import root
from curate.errors import InputError
from curate.train import run_training
from curate.train.distill.settings import Fusion
from curate.train.dists import write_dists
from curate.train.progress import Listener
from curate.train.settings import Settings

FAST = {"batch": 16, "epochs": 1, "lr": 1e-2, "save_every": 2, "held_out": 0.1, "samples": 0, "max_length": 128}


@pytest.fixture(scope="module")
def settings(tiny, rows_file, dists, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "straight"
    return Fusion((str(rows_file),), str(tiny), out, dists=(str(dists),), weight=0.3, **FAST)


@pytest.fixture(scope="module")
def straight(settings):
    """The run that nothing happens to, and what it said."""
    notes = []
    return run_training(settings, Listener(say=notes.append)), notes


def weights(out):
    return (out / "model.safetensors").read_bytes()


def rows_of(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_from_both_and_says_how_much(straight, settings):
    trained, notes = straight
    rows = rows_of(trained.out)
    assert (len(rows), notes) == (4, [])
    assert rows[-1]["fusion_loss"] < rows[0]["fusion_loss"] - 0.1
    assert rows[-1]["clm_loss"] < rows[0]["clm_loss"] - 0.1
    for row in rows:
        assert row["loss"] == pytest.approx(0.3 * row["clm_loss"] + 0.7 * row["fusion_loss"], rel=1e-4)
        assert (row["taught"], row["by_big"]) == (1, 1)
    assert trained.after < trained.before
    assert trained.more.keys() == {"clm_loss", "fusion_loss", "taught", "by_big"}
    card = (trained.out / "README.md").read_text()
    assert "fine-tuned (full) on rows.json with `curate train fuse`" in card
    assert "| dists | big |" in card and "| weight | 0.3 |" in card and "| choose | mince |" in card
    assert str(Path(settings.dists[0]).parent) not in card


def test_the_same_call_has_nothing_to_do_and_another_is_refused(straight, settings, tmp_path, big, rows_file):
    assert run_training(settings) == straight[0]
    with pytest.raises(InputError, match=r"another run \(weight was 0.3 and is 0.4\)"):
        run_training(replace(settings, weight=0.4))
    begun = replace(settings, out=tmp_path / "begun", dists=(str(tmp_path / "d"),), steps=1)
    write_asked(tmp_path / "d", big, rows_file)
    with pytest.raises(KeyboardInterrupt):
        run_training(begun, Listener(watch=interrupt))
    write_asked(tmp_path / "d", big, rows_file, k=4)
    with pytest.raises(InputError, match=r"another run \(data was"):
        run_training(begun)


def interrupt(_):
    raise KeyboardInterrupt


def test_a_run_that_was_stopped_ends_with_the_same_weights(straight, settings, tmp_path):
    again = replace(settings, out=tmp_path / "again")
    with pytest.raises(KeyboardInterrupt):
        run_training(again, Listener(watch=lambda now: now.step == 3 and interrupt(now)))
    assert [row["step"] for row in rows_of(again.out)] == [1, 2, 3]
    notes = []
    run_training(again, Listener(say=notes.append))
    assert notes == ["goes on after update 2 of 4"]
    assert weights(again.out) == weights(settings.out)
    names = ("step", "loss", "clm_loss", "fusion_loss", "taught", "by_big", "grad_norm")
    assert [[row[name] for name in names] for row in rows_of(again.out)] == [
        [row[name] for name in names] for row in rows_of(settings.out)
    ]


def test_weight_one_is_fine_tuning_to_the_bit(settings, tmp_path):
    fused = run_training(replace(settings, weight=1.0, out=tmp_path / "fused"))
    common = {name: getattr(settings, name) for name in ("datasets", "model", *FAST)}
    tuned = run_training(Settings(out=tmp_path / "tuned", **common))
    assert weights(fused.out) == weights(tuned.out)
    assert [row["loss"] for row in rows_of(fused.out)] == [row["loss"] for row in rows_of(tuned.out)]
    assert fused.before == tuned.before and fused.after == tuned.after
    # What fusion would have asked for is still measured.
    assert fused.more["fusion_loss"] > 1


def test_a_live_source_ends_where_its_stored_distributions_do(straight, settings, big, tmp_path):
    notes = []
    live = replace(settings, dists=(), teacher=(str(big),), out=tmp_path / "live")
    with pytest.raises(KeyboardInterrupt):
        run_training(live, Listener(watch=lambda now: now.step == 3 and interrupt(now)))
    trained = run_training(live, Listener(say=notes.append))
    assert notes == ["goes on after update 2 of 4"]
    assert trained.more == pytest.approx(straight[0].more, rel=1e-2)
    assert trained.after == pytest.approx(straight[0].after, rel=1e-2)


def test_turns_that_a_source_has_not_seen_are_counted(settings, big, rows_file, tmp_path):
    write_asked(tmp_path / "some", big, rows_file, keep=lambda number: number % 3)
    notes = []
    some = replace(settings, dists=(str(tmp_path / "some"),), out=tmp_path / "out", steps=1, held_out=0.0)
    trained = run_training(some, Listener(say=notes.append))
    assert notes == [f"{tmp_path / 'some'} has 40 of the 60 turns; it has no part in the others"]
    assert 0.5 < trained.more["taught"] < 0.9
    write_dists(tmp_path / "none", header_of(big), [])
    with pytest.raises(InputError, match=r"none: none of the 60 turns of the dataset is in it; it was captured on"):
        run_training(replace(some, dists=(str(tmp_path / "none"),), out=tmp_path / "o2"))


def test_a_source_with_nan_in_its_weights_is_refused(settings, big, tokenizer, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = make_model(tmp_path / "broken", tokenizer)
    values = load_file(broken / "model.safetensors")
    values["lm_head.weight"][3] = float("nan")
    save_file(values, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"broken: .*NaN"):
        run_training(replace(settings, dists=(), teacher=(str(broken),), out=tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dists": ()}, "there is no source to learn from: name --dists DIR"),
        ({"weight": 1.5}, "--weight 1.5: λ, the share of the usual loss, is from 0 to 1"),
        ({"choose": "best"}, "--choose best: it takes mince, avgce"),
        ({"tail": "drop"}, "--tail drop: it takes bucket, renormalise"),
        ({"top_k": 0}, "--top-k 0: it takes 1 or more"),
        ({"dists": ("a", "a")}, "--dists a: it is named twice"),
        ({"dists": ("nowhere",)}, "nowhere: it holds no distributions; curate fuse capture makes one"),
        ({"teacher": ("no where",)}, "--teacher no where: there is no such folder, and no model on the Hub"),
        ({"stream": True}, "--stream: fusion looks every turn up"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, tmp_path, change, message):
    with pytest.raises(InputError) as error:
        run_training(replace(settings, out=tmp_path / "out", **change))
    assert str(error.value).startswith(message)


def test_the_command_and_the_function(tiny, rows_file, dists, tmp_path):
    out = tmp_path / "out"
    words = ["train", "fuse", str(rows_file), "--model", str(tiny), "--out", str(out), "--dists", str(dists),
             "--recipe", "fusellm", "--steps", "2", "--batch", "8", "--max-length", "128",
             "--samples", "0"]  # fmt: skip
    done = CliRunner().invoke(root, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("2 updates on 60 samples of ")
    assert lines[2].startswith("  parts     CLM 5.")
    assert lines[3] == "  taught    100.0% of the targets; of the turns by big 100%"
    assert lines[-1] == f"Next: read {out / 'README.md'}, or serve it: vllm serve {out}"
    again = CliRunner().invoke(root, [*words, "--json", "--quiet"], catch_exceptions=False)
    found = curate.train_fuse(
        rows_file,
        model=tiny,
        out=out,
        dists=dists,
        recipe="fusellm",
        steps=2,
        batch=8,
        max_length=128,
        samples=0,
        quiet=True,
    )
    assert found.as_json() == json.loads(again.stdout)
    shown = CliRunner().invoke(root, ["train", "fuse", "--help"]).output
    assert "--stream" not in shown
    assert "fusellm" in shown and "--dists DIR" in shown
