"""`curate fuse capture` and `curate fuse align` as they are typed, and the functions of the same names."""

import json

import pytest
from click.testing import CliRunner
from tiny_models import make_model, sample_rows
from tokenizer_zoo import tokenizer_of

import curate
from curate.cli import root
from curate.train.dists import open_dists


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: make_model(folder / name, tokenizer_of(name)) for name in ("byte_level", "sentencepiece_bpe")}


def typed(*words):
    done = CliRunner().invoke(root, ["fuse", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_from_a_dataset_to_the_targets_tokens(tmp_path, models):
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(sample_rows(9)))
    source, target = models["sentencepiece_bpe"], models["byte_level"]
    out, aligned, cache = tmp_path / "big", tmp_path / "aligned", tmp_path / "maps"
    done = typed("capture", data, "--model", source, "--out", out, "--top-k", 5)
    assert done.stderr.startswith("plan: 9 samples, about ")
    assert done.stdout.startswith(f"capture {data}: 9 turns of 9 samples in ")
    assert f"Next: curate fuse align {out} --model TARGET --out {out}-aligned" in done.stdout
    again = typed("capture", data, "--model", source, "--out", out, "--top-k", 5, "--json", "--quiet")
    figures = json.loads(again.stdout)
    assert again.stderr == ""
    assert (figures["records"], figures["dropped"], figures["cut"]) == (9, {}, 0)
    same = curate.fuse_capture(data, model=source, out=out, top_k=5, quiet=True)
    assert {**same.as_json(), "seconds": 0} == {**figures, "seconds": 0}
    done = typed("align", out, "--model", target, "--out", aligned, "--cache", cache)
    assert done.stdout.startswith(f"align {out}: 9 turns in ")
    assert f"Next: curate train fuse DATASET --model {target} --dists {aligned} --out fused" in done.stdout
    again = json.loads(typed("align", out, "--model", target, "--out", aligned, "--json", "--quiet").stdout)
    assert again["rows"] == sum(len(record.dist.offsets) for record in open_dists(aligned))
    assert again["rows"] == sum(again["kinds"].values())
    mined = curate.fuse_align(out, model=target, out=tmp_path / "mined", method="mined", cache=cache, quiet=True)
    assert (mined.method, mined.records) == ("mined", 9)


def test_what_is_wrong_is_one_line(tmp_path, models):
    done = CliRunner().invoke(root, ["fuse", "align", str(tmp_path), "--model", str(models["byte_level"]), "--out",
                                     str(tmp_path / "out")])  # fmt: skip
    assert "it holds no distributions; curate fuse capture makes one" in str(done.exception)
