"""What cannot work is said in one line before anything is asked or trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import make_model

import curate
from curate.errors import InputError

TRAIN = "- collect: {n: 2}\n- sft: {epochs: 1}\n"


@pytest.fixture
def run(here):
    def refused(stages: str, **options):
        head = Path("recipe.yaml").read_text().partition("stages:")[0]
        for name in ("target", "prompts"):
            if name in options:
                head = "\n".join(line for line in head.splitlines() if not line.startswith(f"{name}:")) + "\n"
        Path("other.yaml").write_text(f"{head}stages:\n{stages}")
        curate.fuse_run("other.yaml", quiet=True, **{name: value for name, value in options.items() if value})

    yield refused
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "stages, options, message",
    [
        (TRAIN, {"target": "nowhere"}, r"--model nowhere: "),
        (TRAIN, {"prompts": "nowhere.jsonl"}, r"nowhere\.jsonl: there is no such file"),
        (TRAIN, {"prompts": ""}, r"which prompts\? Name them in the recipe"),
        (TRAIN, {"data": "nowhere.jsonl"}, r"nowhere\.jsonl: there is no such file"),
        (TRAIN, {"source": "scripted:nowhere.py"}, r"source: 'scripted:nowhere\.py': .*no such file"),
        (TRAIN, {"source": "hf:./nowhere"}, r"source hf:\./nowhere: there is no such folder"),
        (TRAIN, {"source": "scripted:right.py"}, r"is given twice"),
        (TRAIN, {"judge": "nonsense"}, r"judge: no model is named 'nonsense'"),
        (TRAIN, {"template": "nowhere"}, r"nowhere"),
        ("- sft\n", {}, r"the stage sft has nothing to build of; put the stage 'collect' before it"),
        ("- collect\n- wrpo\n", {}, r"the stage wrpo needs responses of the target; put 'collect: \{target: true\}'"),
        ("- collect\n- sft: {lr: -1}\n", {}, r"the stage sft: --lr -1.0: it takes a number above 0"),
        ("- collect\n- sft: {max_length: 4096}\n", {}, r"the stage sft: --max-length 4096: the context .* 256 tokens"),
        ("- collect\n- dpo: {loss: kto}\n", {}, r"the stage dpo: --loss kto: .* takes dpo, ln-dpo, simpo"),
        ("- collect\n- dpo\n", {"judge": "scripted:right.py"}, r"no margin is inside 0\.01:0\.1, as a judge's grades"),
        ("- collect\n- sft: {verdicts: false}\n", {}, r"nothing says which is better: give --reward MODEL or --judge"),
        ("- collect\n", {}, r"no stage makes a model; add one of sft, dpo, wrpo, fuse, merge"),
        ("- merge\n", {}, r"the stage merge has nothing to merge"),
        ("- merge: {models: [nowhere]}\n", {}, r"nowhere: there is no such folder"),
        ("- fuse\n", {}, r"source scripted:right\.py: the stage fuse needs more of a source than its words"),
    ],
)
def test_it_is_said_before_anything_is_spent(run, stages, options, message):
    with pytest.raises(InputError, match=message):
        run(stages, **options)


def test_prompts_that_nothing_checks_need_a_score(run):
    Path("open.jsonl").write_text(json.dumps({"prompt": "Say something nice."}) + "\n")
    with pytest.raises(InputError, match=r"the stage sft chooses among responses, and nothing says which is better"):
        run(TRAIN, prompts="open.jsonl")


def test_models_of_another_shape_are_not_merged(run, tokenizer):
    make_model(Path("wide"), tokenizer, num_hidden_layers=1, hidden_size=48)
    with pytest.raises(InputError, match=r"wide: .* only models of the same sizes and vocabulary can be merged"):
        run("- merge: {models: [wide]}\n")


def test_models_of_pairwise_fusion_have_to_be_merged(run, tokenizer):
    make_model(Path("other"), tokenizer, num_hidden_layers=1)
    head = Path("recipe.yaml").read_text().partition("sources:")[0]
    Path("pair.yaml").write_text(
        f"{head}sources: [hf:other]\nprompts: held.jsonl\neval: {{data: held.jsonl}}\nout: out\n"
        "stages:\n- fuse: {pairwise: true}\n"
    )
    with pytest.raises(InputError, match=r"the stage fuse with `pairwise` makes 1 models; put 'merge' behind it"):
        curate.fuse_run("pair.yaml", quiet=True)


def test_a_window_that_keeps_nothing_names_it_and_what_there_is(here):
    """It is known when the responses are scored, and said before any training."""
    Path("judge.py").write_text(
        "def reply(request):\n    return f\"ok\\nscore: {3 if 'It is' in request.messages[-1]['content'] else 1}\"\n"
    )
    Path("other.yaml").write_text(
        Path("recipe.yaml").read_text().partition("stages:")[0] + "stages:\n- collect: {n: 2}\n"
        '- sft: {samples: 0}\n- dpo: {margin: "4:9"}\n'
    )
    with pytest.raises(InputError, match=r"build dpo: .*no pair has a margin inside 4:9: \d+ pairs have margins"):
        curate.fuse_run("other.yaml", judge="scripted:judge.py", quiet=True)
    assert [path.parent.name[:9] for path in Path("out").glob("build-*/samples.jsonl")] == ["build-sft"]
    assert not list(Path("out").glob("train-*"))
