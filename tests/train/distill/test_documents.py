"""Token-level fusion on plain documents: a base model without a template, taught from a folder or by a live source."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from tiny_models import WORDS, make_model, make_tokenizer

import curate
from curate.cli import root
from curate.errors import InputError
from curate.fuse.align import Options as AlignOptions
from curate.fuse.align import align
from curate.fuse.capture import Options, capture
from curate.train import run_training
from curate.train.distill.settings import Fusion
from curate.train.progress import Listener
from curate.train.settings import Settings

FAST = {"batch": 8, "epochs": 1, "lr": 1e-2, "samples": 1, "max_length": 32, "long": "split", "weight": 0.3}


def without_template(tokenizer):
    tokenizer.chat_template = None
    return tokenizer


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """16 documents, some of them longer than 32 tokens."""
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    texts = [" ".join(WORDS[(n * step + step) % 13] for step in range(3, 20 + n * 5)) for n in range(16)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A target and a source with the same tokens, and one with others; base models all."""
    folder, texts = tmp_path_factory.mktemp("models"), [" ".join(WORDS)] * 20
    same, other = (without_template(make_tokenizer(texts, size)) for size in (340, 290))
    return {
        "target": str(make_model(folder / "target", same)),
        "big": str(make_model(folder / "big", same, hidden_size=48)),
        "fine": str(make_model(folder / "fine", other)),
    }


@pytest.fixture(scope="module")
def captured(models, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("captured")
    return {name: capture(data, Options(models[name], out / name, max_length=32)).out for name in ("big", "fine")}


@pytest.fixture(scope="module")
def fused(models, data, captured, tmp_path_factory):
    """A run that nothing happens to, and what it said."""
    notes = []
    settings = Fusion((str(data),), models["target"], tmp_path_factory.mktemp("out") / "fused",
                      dists=(str(captured["big"]),), **FAST)  # fmt: skip
    return run_training(settings, Listener(say=notes.append)), settings, notes


def rows_of(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_every_token_of_every_piece_is_taught(fused, data):
    trained, _, notes = fused
    (note,) = notes
    assert note.endswith("16 samples have more than 32 tokens and are split into several documents")
    rows = rows_of(trained.out)
    assert all((row["taught"], row["by_big"]) == (1, 1) for row in rows)
    assert rows[-1]["clm_loss"] < rows[0]["clm_loss"] - 0.1
    assert not (trained.out / "chat_template.jinja").exists()
    (shown,) = json.loads((trained.out / "samples.json").read_text())
    texts = [json.loads(line)["text"] for line in data.read_text().splitlines()]
    assert any(text.startswith(shown["prompt"] + shown["expected"].removesuffix("<|im_end|>")) for text in texts)


def test_a_stopped_run_ends_with_the_same_weights(fused, tmp_path):
    trained, settings, _ = fused
    again = replace(settings, out=tmp_path / "again", save_every=2)

    def stop(now):
        if now.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(again, Listener(watch=stop))
    run_training(again)
    assert (again.out / "model.safetensors").read_bytes() == (trained.out / "model.safetensors").read_bytes()


def test_another_tokenizer_is_aligned_from_a_folder_and_live(fused, models, captured, tmp_path):
    _, settings, _ = fused
    aligned = align(captured["fine"], AlignOptions(models["target"], tmp_path / "fine", cache=tmp_path / "maps"))
    assert aligned.documents and aligned.rows > 0.9 * aligned.positions
    stored = run_training(replace(settings, dists=(str(aligned.out),), out=tmp_path / "stored"))
    live = run_training(replace(settings, dists=(), teacher=(models["fine"],), out=tmp_path / "live"))
    assert stored.more["taught"] > 0.9
    assert live.more["taught"] == pytest.approx(stored.more["taught"], abs=0.02)
    assert live.more["fusion_loss"] == pytest.approx(stored.more["fusion_loss"], rel=2e-2)


def test_a_document_longer_than_a_live_source_reads_is_asked_about_piece_by_piece(models, data, tmp_path):
    from curate.train.data.sources import parse_sources
    from curate.train.data.templates import find_template
    from curate.train.data.tokens import Coder
    from curate.train.distill.lessons import lessons_of
    from curate.train.distill.live import Live
    from curate.train.model import open_config, open_tokenizer

    settings = Settings((str(data),), models["target"], tmp_path)
    tokenizer = open_tokenizer(settings, open_config(settings))
    coder = Coder(tokenizer, find_template(None, tokenizer, needed=False), 16, "split")
    live = Live(models["big"], 10, coder, len(tokenizer))
    live.local.reading.coder.max_length = 16
    sources = parse_sources([str(data)])
    live.open(sources)
    lessons = lessons_of(sources[0], coder, live.documents.theirs.vocabulary, tmp_path / "tokens")
    asked = []
    rows = live.local.rows

    def counting(located, wanted, tick):
        asked.append([len(one.ids) for one in located])
        return rows(located, wanted, tick)

    live.local.rows = counting
    for number in (0, len(lessons) - 2):
        lesson = lessons[number]
        live.prepare([lesson])
        (turn,) = lesson.turns
        dist = live.get(lesson.sample, turn)
        assert dist.offsets.tolist() == turn.offsets.tolist()
        assert dist.tokens.tolist() == lesson.input_ids[1:]
    assert [len(one) for one in asked] == [1, 1]


def test_conversations_and_documents_are_learnt_together(models, data, rows_file, tiny, tmp_path):
    common = {name: FAST[name] for name in ("batch", "lr", "samples", "long")} | {"max_length": 64, "steps": 2}
    trained = run_training(
        Fusion((str(data), str(rows_file)), str(tiny), tmp_path / "both", teacher=(str(tiny),), **common)
    )
    assert trained.more["taught"] == 1
    with pytest.raises(InputError, match="no chat template, as base models have none"):
        run_training(Settings((str(data), str(rows_file)), models["target"], tmp_path / "none", **common))
    assert not (tmp_path / "none").exists()


def test_the_recipe_and_the_verbs_work_on_documents(models, data, captured, tmp_path):
    command = f"train fuse {data} --model {models['target']} --dists {captured['big']} --out {tmp_path / 'm'}"
    done = CliRunner().invoke(root, f"{command} --recipe fusellm --max-length 32 --batch 8 --quiet".split())
    assert done.exit_code == 0, done.output
    settings = json.loads((tmp_path / "m" / "training.json").read_text())["settings"]
    assert (settings["long"], settings["weight"], settings["tail"]) == ("split", 0.9, "renormalise")
    found = curate.eval([models["target"], tmp_path / "m"], data=data, out=tmp_path / "eval", quiet=True)
    first, second = found.scores
    assert (first.samples, first.exact, first.cut) == (16, None, 0)
    assert second.loss.value < first.loss.value
    done = CliRunner().invoke(root, ["train", "sft", "--help"])
    assert 'Rows of {"text": ...} are plain documents' in done.output
