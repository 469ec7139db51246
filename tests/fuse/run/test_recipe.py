"""Recipes: shipped ones, what the command adds, and every mistake by its line."""

from __future__ import annotations

import pytest

from curate.errors import ConfigError
from curate.fuse.run.recipe import load_recipe, recipe_text, shipped_recipes

HEAD = "target: T\nsources: [procedural]\nprompts: p.jsonl\neval: {data: e.jsonl}\n"


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_need_no_more_than_who_and_on_what(name):
    recipe, stages = load_recipe(name, {"target": "T", "sources": ["procedural"]}, ["e.jsonl"])
    assert (recipe.target.model, recipe.sources[0].spec, recipe.eval.data) == ("T", "procedural", ("e.jsonl",))
    assert stages and recipe.published


def test_a_recipe_without_stages_is_fusechat_3(tmp_path):
    (tmp_path / "r.yaml").write_text(HEAD)
    shipped = load_recipe("fusechat-3.0", {"target": "T"}, ["e.jsonl"])
    recipe, stages = load_recipe(str(tmp_path / "r.yaml"), {})
    assert (stages, recipe.share) == (shipped[1], 0.4)


def test_what_the_command_says_goes_before_the_file_and_sources_add_up(tmp_path):
    (tmp_path / "r.yaml").write_text(HEAD + "seed: 3\nstages: [collect, sft]\n")
    given = {"target": "U", "sources": ["vllm:B"], "seed": 4}
    recipe, _ = load_recipe(str(tmp_path / "r.yaml"), given, ["f.jsonl", "g.jsonl"])
    assert (recipe.target.model, recipe.seed, recipe.eval.data) == ("U", 4, ("f.jsonl", "g.jsonl"))
    assert [one.spec for one in recipe.sources] == ["procedural", "vllm:B"]


def test_what_is_written_reads_back(tmp_path):
    (tmp_path / "r.yaml").write_text(HEAD + "share: 0.2\nstages:\n- collect: {n: 2}\n- sft: {lr: 1e-4, epochs: 2}\n")
    first = load_recipe(str(tmp_path / "r.yaml"), {"seed": 7})
    (tmp_path / "s.yaml").write_text(recipe_text(first[0]))
    assert load_recipe(str(tmp_path / "s.yaml"), {}) == first
    assert first[1][1].options.lr == 1e-4


@pytest.mark.parametrize(
    "text, message",
    [
        ("traget: T\n", r"r\.yaml:1: traget is not a key here; did you mean 'target'\?"),
        (HEAD + "stages:\n- collect: {m: 3}\n", r"r\.yaml:6: stages.0.collect.m is not a key here.*known: .*n, "),
        (HEAD + "stages:\n- collect\n- stf\n", r"r\.yaml:7: no stage is called 'stf'; did you mean 'sft'"),
        (HEAD + "stages:\n- sft:\n    lr: fast\n", r"r\.yaml:7: stages.0.sft.lr must be a number, not 'fast'"),
        (HEAD + "stages:\n- sft: {recipe: fusechat}\n", r"r\.yaml:6: --recipe fusechat: neither a file"),
        (HEAD + "stages:\n- merge: {merge_method: sec}\n", r"r\.yaml:6: .*'sec'; did you mean 'sce'"),
        (HEAD + "stages:\n- merge: {parameters: {t: 1}}\n", r"r\.yaml:6: .*sce has no parameter 't'"),
        (HEAD + "stages: fusechat3\n", r"r\.yaml:5: stages: 'fusechat3'; did you mean"),
        (HEAD + "stages: []\n", r"r\.yaml:5: stages: there are none"),
        (HEAD + "stages:\n- {collect: {}, sft: {}}\n", r"r\.yaml:6: a stage is a name"),
        (HEAD.replace("procedural", "opnai:x"), r"r\.yaml:2: sources.0.spec: 'opnai:x' is no model spec"),
        (HEAD.replace("{data: e.jsonl}", "{}"), r"r\.yaml:4: eval.data is missing"),
        ("- a\n", r"r\.yaml:1: a recipe has keys and values"),
    ],
)
def test_a_mistake_names_its_line(tmp_path, text, message):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(str(tmp_path / "r.yaml"), {})


def test_a_shipped_recipe_says_what_to_add():
    with pytest.raises(ConfigError, match=r"fusechat-3\.0: add --target MODEL and --data FILE"):
        load_recipe("fusechat-3.0", {})
    with pytest.raises(ConfigError, match=r"neither a file nor one of .*did you mean 'fusechat-3\.0'"):
        load_recipe("fusechat-3", {})
