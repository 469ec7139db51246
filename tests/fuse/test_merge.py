"""Merging: algebra of every method, their definitions on small tensors, and what cannot be merged."""

from __future__ import annotations

import fcntl
import itertools
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from curate.errors import ConfigError, InputError, RunError

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

from curate.fuse.merge import load_recipe, merge_models  # noqa: E402
from curate.fuse.merge import tensors as blocks  # noqa: E402
from curate.fuse.merge.methods import METHODS  # noqa: E402
from curate.fuse.merge.select import largest  # noqa: E402
from curate.fuse.merge.variance import survey  # noqa: E402

SHAPES = {
    "model.embed_tokens.weight": (40, 12),
    "model.layers.0.self_attn.q_proj.weight": (12, 12),
    "model.layers.0.self_attn.k_proj.weight": (12, 12),
    "model.layers.0.mlp.up_proj.weight": (24, 12),
    "model.layers.1.mlp.up_proj.weight": (24, 12),
    "model.norm.weight": (12,),
}


def weights(seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: (torch.randn(shape, generator=generator) * scale).to(dtype) for name, shape in SHAPES.items()}


def moved(base: dict[str, torch.Tensor], seed: int, scale: float) -> dict[str, torch.Tensor]:
    step = weights(seed, scale)
    return {name: value + step[name] for name, value in base.items()}


def save(folder: Path, tensors: dict[str, torch.Tensor], **config: object) -> str:
    folder.mkdir(parents=True)
    safetensors.save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "dtype": "float32", **config}))
    return str(folder)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    base = weights(0)
    save(tmp_path / "base", base)
    for index, scale in enumerate((0.01, 0.02, 0.03)):
        save(tmp_path / f"m{index}", moved(base, index + 1, scale))
    return tmp_path


def write_recipe(world: Path, method: str, models: tuple[str, ...] = ("m0", "m1", "m2"), **keys: object) -> Path:
    own = keys.pop("own", None)
    rows = [{"model": str(world / name), **({"parameters": own} if own else {})} for name in models]
    head = {"base_model": str(world / "base")} if METHODS[method].base else {}
    path = world / "recipe.yaml"
    path.write_text(yaml.safe_dump({"merge_method": method, **head, "models": rows, **keys}))
    return path


def merged(world: Path, method: str, models: tuple[str, ...] = ("m0", "m1", "m2"), **keys: object) -> dict:
    out = world / "out"
    shutil.rmtree(out, ignore_errors=True)
    merge_models(load_recipe(write_recipe(world, method, models, **keys)), out)
    return safetensors.load_file(out / "model.safetensors")


def of(world: Path, name: str) -> dict[str, torch.Tensor]:
    return safetensors.load_file(world / name / "model.safetensors")


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], atol: float = 1e-6) -> bool:
    return all(torch.allclose(a[name], b[name], atol=atol, rtol=0) for name in SHAPES)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "slerp"])
def test_merging_a_model_with_itself_returns_it(world: Path, method: str) -> None:
    keys = {"parameters": {"normalize": True}} if "normalize" in METHODS[method].shared else {}
    before = {name: (world / name / "model.safetensors").read_bytes() for name in ("base", "m1")}
    assert close(merged(world, method, ("m1", "m1"), **keys), of(world, "m1"))
    # Weights are mapped from their files, which nothing may write into.
    assert all((world / name / "model.safetensors").read_bytes() == data for name, data in before.items())


@pytest.mark.parametrize("method", [name for name, one in METHODS.items() if one.base and name != "slerp"])
def test_models_that_are_the_base_change_nothing(world: Path, method: str) -> None:
    shutil.copytree(world / "base", world / "same")
    assert close(merged(world, method, ("same", "same")), of(world, "base"), 0)


@pytest.mark.parametrize("method", ["linear", "task_arithmetic", "ties", "varm", "sce"])
def test_the_order_of_the_models_does_not_matter(world: Path, method: str) -> None:
    names = ("m0", "m1", "m2")
    first, *others = (merged(world, method, order) for order in itertools.permutations(names))
    assert all(close(first, other) for other in others)


def test_neither_threads_nor_shards_change_a_bit(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tensors", "methods"):
        monkeypatch.setattr(f"curate.fuse.merge.{module}.BLOCK", 64)
    recipe = load_recipe(write_recipe(world, "sce", parameters={"select_topk": 0.3}))
    one = merge_models(recipe, world / "one", threads=1)
    many = merge_models(recipe, world / "many", threads=3, shard_bytes=1000)
    assert (one.files, many.files) == (1, 6)
    index = json.loads((world / "many" / "model.safetensors.index.json").read_text())["weight_map"]
    whole = of(world, "one")
    for name, file in index.items():
        assert torch.equal(safetensors.load_file(world / "many" / file)[name], whole[name])


def test_linear_is_the_weighted_mean(world: Path) -> None:
    out = merged(world, "linear", own={"weight": 0.7})
    parts = [of(world, f"m{index}") for index in range(3)]
    assert close(out, {name: torch.stack([part[name] for part in parts]).mean(0) for name in SHAPES})


def test_slerp_ends_at_both_models_and_keeps_the_norm_between(world: Path) -> None:
    save(world / "far", weights(9))
    assert close(merged(world, "slerp", ("far",), parameters={"t": 0}), of(world, "base"))
    assert close(merged(world, "slerp", ("far",), parameters={"t": 1}), of(world, "far"))
    half = merged(world, "slerp", ("far",), parameters={"t": 0.5})
    name = "model.embed_tokens.weight"
    a, b = of(world, "base")[name].flatten(), of(world, "far")[name].flatten()
    angle = torch.arccos(a @ b / (a.norm() * b.norm()))
    expected = torch.sin(angle / 2) / torch.sin(angle) * (a + b)
    assert torch.allclose(half[name].flatten(), expected, atol=1e-5)


def ties_by_hand(base: torch.Tensor, models: list[torch.Tensor], density: float) -> torch.Tensor:
    """TIES as its paper says it, element by element."""
    deltas = []
    for model in models:
        delta = (model - base).flatten().tolist()
        kept = sorted(range(len(delta)), key=lambda place: (-abs(delta[place]), place))[: int(density * len(delta))]
        deltas.append([delta[place] if place in set(kept) else 0.0 for place in range(len(delta))])
    out = []
    for changes in zip(*deltas, strict=True):
        sign = 1 if sum(changes) >= 0 else -1
        agreeing = [change for change in changes if change * sign > 0]
        out.append(sum(agreeing) / len(agreeing) if agreeing else 0.0)
    return base + torch.tensor(out).reshape(base.shape)


def test_ties_is_what_its_paper_says(world: Path) -> None:
    out = merged(world, "ties", own={"density": 0.25})
    base, parts = of(world, "base"), [of(world, f"m{index}") for index in range(3)]
    for name in SHAPES:
        assert torch.allclose(out[name], ties_by_hand(base[name], [part[name] for part in parts], 0.25), atol=1e-6)


def test_dare_keeps_the_expected_change_and_the_same_draw(world: Path) -> None:
    base = weights(0)
    even = {name: value + 0.5 for name, value in base.items()}
    save(world / "even", even)
    out = merged(world, "dare_linear", ("even",), own={"density": 0.4})
    change = torch.cat([(out[name] - base[name]).flatten() for name in SHAPES])
    kept = change.abs() > 1e-3
    assert torch.allclose(change[kept], torch.tensor(0.5 / 0.4), atol=1e-5)
    # 1,360 draws with p = .4 have a standard deviation of 18.
    assert abs(int(kept.sum()) - 0.4 * len(change)) < 80
    again = merged(world, "dare_linear", ("even",), own={"density": 0.4})
    assert close(out, again, 0)
    other = merged(world, "dare_linear", ("even",), own={"density": 0.4}, parameters={"seed": 1})
    assert not close(out, other)


def sce_by_hand(base: torch.Tensor, models: list[torch.Tensor], share: float, select: str) -> torch.Tensor:
    """SCE as FuseChat says it, element by element in float64."""
    deltas = torch.stack([(model - base).double().flatten() for model in models])
    variance = deltas.var(0, unbiased=False)
    k = int(int((variance != 0).sum()) * share)
    chosen = torch.zeros(variance.numel(), dtype=torch.bool)
    chosen[variance.argsort(descending=True, stable=True)[:k]] = True
    squares = (deltas * chosen).square().sum(1)
    weights = squares / squares.sum()
    out = torch.zeros_like(variance)
    for place in range(variance.numel()):
        if select == "merge" and not chosen[place]:
            continue
        sign = 1 if deltas[:, place].sum() >= 0 else -1
        agree = [j for j in range(len(models)) if deltas[j, place] * sign > 0]
        if agree:
            total = sum(weights[j] for j in agree)
            out[place] = sum(weights[j] * deltas[j, place] for j in agree) / total
    return base + out.float().reshape(base.shape)


@pytest.mark.parametrize("select", ["merge", "weights"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_sce_is_what_its_paper_says(world: Path, share: float, select: str) -> None:
    out = merged(world, "sce", parameters={"select_topk": share, "select": select})
    base, parts = of(world, "base"), [of(world, f"m{index}") for index in range(3)]
    for name in SHAPES:
        expected = sce_by_hand(base[name], [part[name] for part in parts], share, select)
        assert torch.allclose(out[name], expected, atol=1e-6), name


def test_both_meanings_of_the_selection_agree_where_all_is_selected(world: Path) -> None:
    one = merged(world, "sce", parameters={"select_topk": 1.0, "select": "merge"})
    other = merged(world, "sce", parameters={"select_topk": 1.0, "select": "weights"})
    assert close(one, other, 0)


@pytest.mark.parametrize("method", ["sce", "varm"])
def test_weights_do_not_depend_on_how_small_the_changes_are(world: Path, method: str) -> None:
    """mergekit falls back to equal weights where the changes are small: fusion.md, defect 1."""
    zero = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    save(world / "zero", zero)
    (world / "base").rename(world / "old")
    (world / "zero").rename(world / "base")
    found = []
    for scale in (1.0, 1e-4):
        for index in range(3):
            shutil.rmtree(world / f"m{index}")
            save(world / f"m{index}", weights(index + 1, scale * (index + 1)))
        found.append({name: value / scale for name, value in merged(world, method).items()})
    assert close(*found, atol=1e-5)
    equal = {name: sum(of(world, f"m{j}")[name] for j in range(3)) / 3e-4 for name in SHAPES}
    assert not close(found[1], equal, atol=1e-2)


def test_varm_weights_follow_the_squared_changes(world: Path) -> None:
    out = merged(world, "varm")
    base, parts = of(world, "base"), [of(world, f"m{index}") for index in range(3)]
    for name in SHAPES:
        squares = [float((part[name] - base[name]).square().mean()) for part in parts]
        expected = sum(square / sum(squares) * part[name] for square, part in zip(squares, parts, strict=True))
        assert torch.allclose(out[name], expected, atol=1e-6)


def test_coarser_granularities_share_their_weights() -> None:
    q, k, up, norm = "m.layers.0.attn.q", "m.layers.0.attn.k", "m.layers.1.mlp.up", "m.norm"
    rows = [
        (q, 10, [1.0, 3.0], [10, 10]),
        (k, 30, [2.0, 2.0], [30, 0]),
        (up, 20, [4.0, 1.0], [20, 20]),
        (norm, 2, [1.0, 0.0], [2, 0]),
    ]
    assert survey(rows, "module") == {q: [3 / 8, 5 / 8], k: [3 / 8, 5 / 8], up: [0.8, 0.2], norm: [1.0, 0.0]}
    assert survey(rows, "layer") == {q: [3 / 8, 5 / 8], k: [3 / 8, 5 / 8], up: [0.8, 0.2], norm: [0.5, 0.5]}
    first, second = 10 + 60 + 80 + 2, 30 + 60 + 20
    for name, found in survey(rows, "model").items():
        assert found == pytest.approx([first / (first + second), second / (first + second)]), name
    second_of_total = second * 30 / 62
    assert survey(rows, "total")[up] == pytest.approx(
        [first / (first + second_of_total), second_of_total / (first + second_of_total)]
    )


@pytest.mark.parametrize("k", [1, 7, 500, 999, 1000])
@pytest.mark.parametrize("distinct", [1, 5, 10**6])
def test_the_largest_are_exact_and_ties_go_by_place(k: int, distinct: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 128)
    values = torch.randint(distinct, (1000,), generator=torch.Generator().manual_seed(k)).float()
    with ThreadPoolExecutor(2) as pool:
        tensors = blocks.Tensors("x", None, [values], pool)
        found = largest(tensors, lambda block: values[block], k, values[::50])
        masks = [found.mask(values[block], block) for block in tensors.blocks()]
    expected = sorted(range(1000), key=lambda place: (-values[place].item(), place))[:k]
    assert torch.cat(masks).nonzero().flatten().tolist() == sorted(expected)


def test_a_merge_that_was_killed_goes_on_and_a_done_one_is_not_made_again(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(write_recipe(world, "ties", own={"density": 0.5}))
    whole = merge_models(recipe, world / "whole", shard_bytes=1000)
    from curate.fuse.merge import run

    real, calls = run.write_header, []

    def stop_at_the_third(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(run, "write_header", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        merge_models(recipe, world / "out", shard_bytes=1000)
    assert not (world / "out").exists()
    # What a process leaves that is killed while it writes a file.
    (world / ".out.merging" / ".model-00003-of-00006.safetensors.7-7.tmp").write_bytes(b"half")
    again = merge_models(recipe, world / "out", shard_bytes=1000)
    assert (again.files, again.reused) == (whole.files, 2)
    for file in (world / "whole").glob("*.safetensors"):
        assert (world / "out" / file.name).read_bytes() == file.read_bytes()
    assert {path.name for path in (world / "out").iterdir()} == {path.name for path in (world / "whole").iterdir()}
    before = (world / "out" / "config.json").stat().st_mtime_ns
    assert merge_models(recipe, world / "out", shard_bytes=1000).reused == whole.files
    assert (world / "out" / "config.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="holds something else than this merge"):
        merge_models(load_recipe(write_recipe(world, "varm")), world / "out")


def test_the_dtype_of_the_recipe_is_written_and_rounds_to_nearest(world: Path) -> None:
    out = merged(world, "linear", dtype="bfloat16")
    exact = merged(world, "linear")
    assert all(torch.equal(out[name], exact[name].to(torch.bfloat16)) for name in SHAPES)
    config = json.loads((world / "out" / "config.json").read_text())
    assert config["dtype"] == "float32"
    merged(world, "linear", dtype="bfloat16")
    assert json.loads((world / "out" / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("method", METHODS)
def test_a_nan_names_its_model_and_place(world: Path, method: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a method would have trimmed it, or made NaN of every block by its weights."""
    monkeypatch.setattr(blocks, "BLOCK", 64)
    broken = of(world, "m1")
    broken["model.embed_tokens.weight"].view(-1)[105] = float(value)
    shutil.rmtree(world / "m1")
    save(world / "m1", broken)
    allowed = METHODS[method]
    own = {"density": 0.2} if "density" in allowed.per_model else None
    shared = {"select_topk": 0.1} if "select_topk" in allowed.shared else {}
    models = ("m1",) if method == "slerp" else ("m0", "m1", "m2")
    with pytest.raises(InputError, match=rf"m1: model\.embed_tokens\.weight holds {value} at element 105"):
        merged(world, method, models, own=own, parameters=shared)
    assert not (world / "out").exists()


def test_models_that_do_not_fit_are_named(world: Path) -> None:
    other = weights(5)
    short = {name: value for name, value in other.items() if name != "model.norm.weight"}
    save(world / "short", short)
    with pytest.raises(InputError, match=r"short has no model\.norm\.weight, which .*base has"):
        merged(world, "sce", ("m0", "short"))
    save(world / "wide", {**other, "model.norm.weight": torch.zeros(13)})
    with pytest.raises(InputError, match=r"wide: model\.norm\.weight is 13 and that of .*base 12"):
        merged(world, "sce", ("m0", "wide"))
    (world / "cut").mkdir()
    (world / "cut" / "config.json").write_text("{}")
    (world / "cut" / "model.safetensors").write_bytes((world / "m0" / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(InputError, match="the file is cut off"):
        merged(world, "sce", ("m0", "cut"))
    with pytest.raises(InputError, match="there is no such folder"):
        merged(world, "sce", ("m0", "nowhere"))


def test_a_tied_head_may_be_missing_and_counters_are_copied(world: Path) -> None:
    for index, name in enumerate(("base", "m0", "m1")):
        tensors = {**of(world, name), "steps": torch.tensor([7])}
        if index == 1:
            tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        shutil.rmtree(world / name)
        save(world / name, tensors, tie_word_embeddings=True)
    out = merged(world, "sce", ("m0", "m1"))
    assert sorted(out) == sorted([*SHAPES, "steps"])
    assert out["steps"].tolist() == [7]
    shutil.rmtree(world / "m1")
    save(world / "m1", {**of(world, "base"), "steps": torch.tensor([8])}, tie_word_embeddings=True)
    with pytest.raises(InputError, match="m1: steps is I64 and differs"):
        merged(world, "sce", ("m0", "m1"))


def test_other_tokenizers_are_refused_unless_one_is_named(world: Path) -> None:
    for name, vocab in (("base", {"a": 0, "b": 1}), ("m0", {"a": 0, "b": 1}), ("m1", {"b": 0, "a": 1})):
        (world / name / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}}))
    with pytest.raises(InputError, match=r"m1: the token 'b' is number 0 and in .*base 1"):
        merged(world, "sce", ("m0", "m1"))
    merged(world, "sce", ("m0", "m1"), tokenizer_source=str(world / "m1"))
    assert json.loads((world / "out" / "tokenizer.json").read_text())["model"]["vocab"] == {"b": 0, "a": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("merge_method: tie\n", r"recipe\.yaml:1: merge_method: 'tie'; did you mean 'ties'\?; known: linear, slerp"),
        ("models: [a]\nmerge_method: sce\n", "sce needs base_model"),
        ("merge_method: linear\nmodels: [a]\n", r"recipe\.yaml:2: models: linear takes at least 2, found 1"),
        ("merge_method: linear\nmodels: [a, b]\nslices: []\n", r":3: 'slices' is no key of a merge recipe"),
        (
            "merge_method: ties\nbase_model: b\nmodels:\n- model: a\n  parameters:\n    density: 1.5\n",
            r":6: density: expected a number from 0 to 1, found 1\.5",
        ),
        (
            "merge_method: ties\nbase_model: b\nmodels: [a]\nparameters: {t: 0.5}\n",
            r":4: ties has no parameter 't'; known: density, lambda, normalize, weight",
        ),
        ("merge_method: sce\nbase_model: b\nmodels: [a]\nparameters: {select_topk: [0, 1]}\n", "expected one number"),
        (
            "merge_method: sce\nbase_model: b\nmodels: [a]\ntokenizer_source: union\n",
            r":4: .* are not united; name base",
        ),
        ("merge_method: sce\nbase_model: b\nmodels: [a]\ndtype: fp8\n", r":4: dtype: 'fp8'; known: float32"),
        (
            "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 1}}\n"
            "- {model: b, parameters: {weight: -1}}\n",
            "the weights add up to 0",
        ),
    ],
)
def test_a_wrong_recipe_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(path)


def test_words_of_mergekit_that_change_no_weight_are_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    text = "merge_method: ties\nbase_model: b\nmodels: [a]\nparameters: {density: 0.5"
    path.write_text(f"{text}}}\n")
    plain = load_recipe(path)
    path.write_text(f"{text}, int8_mask: true}}\ntokenizer_source: base\n")
    assert load_recipe(path) == plain


def test_adapters_and_a_full_disk_are_refused_before_anything_is_written(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(world)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5423))
    with pytest.raises(InputError, match="the merged model takes 0 MB more and 0 MB are free"):
        merged(world, "sce")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5424))
    merged(world, "sce")
    (world / "m1" / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="m1: holds LoRA adapters, and only whole weights are merged"):
        merged(world, "sce")


def test_two_processes_do_not_write_the_same_merge(world: Path) -> None:
    recipe = load_recipe(write_recipe(world, "sce"))
    (world / ".out.merging").mkdir()
    with (world / ".out.merging" / ".mark").open("w") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        with pytest.raises(RunError, match=r"out: another process merges into this folder"):
            merge_models(recipe, world / "out")
    (world / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        merge_models(recipe, world / "file" / "out")


def test_the_base_among_the_models_is_not_merged_as_one(world: Path) -> None:
    recipe = load_recipe(write_recipe(world, "sce", ("base", "m0", "m1")))
    assert [Path(name).name for name in recipe.models] == ["m0", "m1"]


def test_the_verb_says_what_it_made(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from curate.cli import main

    path = write_recipe(world, "sce", dtype="bfloat16")
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            main(["merge", str(path), "--out", str(world / "out"), "--json"])
        assert end.value.code == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["method"], report["tensors"], report["parameters"]) == ("sce", 6, 1356)
    import curate

    again = curate.merge(yaml.safe_load(path.read_text()), world / "out", quiet=True)
    assert again.reused == again.files == 1
    card = (world / "out" / "README.md").read_text()
    assert str(world) not in card and "merge_method: sce" in card
