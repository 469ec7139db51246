from __future__ import annotations

from pathlib import Path

import pytest

from curate.errors import ConfigError
from curate.train.data.templates import shipped_templates
from curate.train.distill.settings import Fusion
from curate.train.preference.settings import Dpo, Preference, Wrpo, checked_preference
from curate.train.recipe import load_recipe, shipped_recipes
from curate.train.settings import Settings, checked

DPO: dict[str, object] = {"batch": 128, "epochs": 1, "max_length": 2048, "warmup": 0.1}

PUBLISHED: dict[str, dict[str, object]] = {
    "explore-instruct": {
        "lr": 2e-5,
        "batch": 128,
        "epochs": 3,
        "max_length": 512,
        "warmup": 0.03,
        "template": "alpaca",
    },
    "kca": {"lr": 2e-5, "batch": 128, "epochs": 3, "max_length": 2048, "warmup": 0.03, "template": "vicuna"},
    "fusechat-3.0-llama": {"lr": 5e-6, "batch": 128, "epochs": 3, "max_length": 2048, "warmup": 0.1},
    "fusechat-3.0-qwen": {"lr": 2e-6, "batch": 128, "epochs": 3, "max_length": 2048, "warmup": 0.1},
    "fusechat-3.0-gemma": {"lr": 2e-6, "batch": 128, "epochs": 3, "max_length": 2048, "warmup": 0.1},
    "fusechat-3.0-dpo-llama": {**DPO, "lr": 8e-7, "loss": "ln-dpo", "beta": 10.0},
    "fusechat-3.0-dpo-llama-small": {**DPO, "lr": 1e-6, "loss": "ln-dpo", "beta": 10.0},
    "fusechat-3.0-dpo-qwen": {**DPO, "lr": 3e-7, "loss": "dpo", "beta": 0.01},
    "fusechat-3.0-dpo-gemma": {**DPO, "lr": 5e-7, "loss": "dpo", "beta": 0.01},
    "wrpo": {**DPO, "lr": 3e-7, "beta": 0.01, "alpha": 0.1, "alpha_schedule": "linear"},
    "fusellm": {"lr": 1e-5, "batch": 128, "epochs": 1, "max_length": 2048, "warmup": 0.008, "weight_decay": 0.1},
    "fusechat-pairwise": {"lr": 5e-6, "batch": 128, "epochs": 3, "max_length": 2048, "warmup": 0.03},
}
FUSION = {"weight": 0.9, "choose": "mince", "tail": "renormalise", "top_k": 10}
KINDS: dict[str, type[Settings]] = {
    **{name: Dpo for name in PUBLISHED if "dpo" in name},
    **{"fusellm": Fusion, "fusechat-pairwise": Fusion, "wrpo": Wrpo},
}


def test_all_are_known() -> None:
    assert shipped_recipes() == sorted(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shipped_recipe_is_as_published(name: str) -> None:
    kind = KINDS.get(name, Settings)
    recipe = load_recipe(name, kind)
    assert {key: recipe.settings.get(key) for key in PUBLISHED[name]} == PUBLISHED[name]
    assert recipe.settings["schedule"] == "cosine" and recipe.settings["method"] == "full"
    assert recipe.name == name and "arXiv" in recipe.source and "source" not in recipe.settings
    settings = checked(kind(datasets=("a",), model="m", out=Path("o"), **recipe.settings))
    assert settings.rate == PUBLISHED[name]["lr"]
    assert settings.template is None or settings.template in shipped_templates()
    if isinstance(settings, Preference):
        assert checked_preference(settings).scale == PUBLISHED[name]["beta"]
    if isinstance(settings, Fusion):
        assert {key: getattr(settings, key) for key in FUSION} == FUSION


def test_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("lr: 1.0e-4\nmethod: lora\nmax_length: null\nclip: 1\npack: false\n")
    recipe = load_recipe(str(file))
    assert recipe.settings == {"lr": 1e-4, "method": "lora", "max_length": None, "clip": 1, "pack": False}
    assert (recipe.name, recipe.source) == ("own", "")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lr: 1.0e-4\nwarm_up: 0.1\n", ":2: warm_up is not a key here; did you mean 'warmup'? (known: method, "),
        ("model: m\n", ":1: model is not a key here"),
        ("lr: 2e-5\n", ":1: lr must be a number (YAML reads 2e-5 as text; write 2.0e-5), not '2e-5'"),
        ("lr: 1.0e-4\n\nbatch: 12.5\n", ":3: batch must be a whole number, not 12.5"),
        ("batch: true\n", ":1: batch must be a whole number, not True"),
        ("batch:\n", ":1: batch must be a whole number, not None"),
        ("pack: 1\n", ":1: pack must be true or false, not 1"),
        ("template: 3\n", ":1: template must be text, not 3"),
        ("- lr\n", ":1: a recipe has keys and values (known: method, "),
        ("lr: 1.0\nlr: 2.0\n", ":2: the key 'lr' stands here and in line 1; keep one"),
    ],
)
def test_what_cannot_be(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_recipe(str(file))
    assert str(error.value).startswith(f"{file}{complaint}")


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("batch: x\nepochs: y\n")
    with pytest.raises(ConfigError) as error:
        load_recipe(str(file))
    assert str(error.value).splitlines() == [
        f"{file}:1: batch must be a whole number, not 'x'",
        f"{file}:2: epochs must be a whole number, not 'y'",
    ]


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(ConfigError) as error:
        load_recipe("explore_instruct")
    assert str(error.value) == (
        "--recipe explore_instruct: neither a file nor one of explore-instruct, fusechat-3.0-dpo-gemma, "
        "fusechat-3.0-dpo-llama, fusechat-3.0-dpo-llama-small, fusechat-3.0-dpo-qwen, fusechat-3.0-gemma, "
        "fusechat-3.0-llama, fusechat-3.0-qwen, fusechat-pairwise, fusellm, kca, wrpo; did you mean 'explore-instruct'?"
    )
