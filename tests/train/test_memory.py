"""What is said of memory, held against what training then takes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import make_model

from curate.errors import InputError
from curate.train.data.tokens import Encoded
from curate.train.memory import Need, check_room, fewest_recomputed, need_of, size_of, token_bytes
from curate.train.model import end_in_loss, inputs_of, open_config, open_model, set_attention
from curate.train.settings import Settings
from curate.train.steps import make_pack

GPU, CPU = torch.device("cuda"), torch.device("cpu")

LLAMA = {"vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": 8}  # fmt: skip


@pytest.fixture(scope="module")
def eight_billion():
    """The size of Llama 3.1 8B; nothing of it is loaded."""
    from transformers import AutoConfig

    return size_of(AutoConfig.for_model("llama", **LLAMA), Settings(("x",), "llama", Path("out")))


def test_full_training_of_8b_takes_16_bytes_a_weight_or_6(eight_billion):
    settings = Settings(("x",), "llama", Path("out"))
    assert eight_billion.parameters == 8_030_261_248
    plain = need_of(eight_billion, settings, GPU, 0, 0.0)
    assert (plain.weights + plain.gradients + plain.states) / eight_billion.parameters == 16
    lean = need_of(eight_billion, replace(settings, weights="bfloat16", states="8bit"), GPU, 0, 0.0)
    assert (lean.weights + lean.gradients + lean.states) / eight_billion.parameters == pytest.approx(6, abs=0.1)


def test_what_does_not_fit_is_refused_with_what_would(eight_billion):
    settings = Settings(("x",), "llama", Path("out"))
    need = need_of(eight_billion, settings, GPU, 16384, 1e6)
    with pytest.raises(InputError) as caught:
        check_room(need, 141e9, eight_billion, settings, GPU, 16384)
    message = str(caught.value)
    assert "training takes about 155 GB (weights 32 GB, gradients 32 GB, states 64 GB, activations 16 GB" in message
    assert "141 GB are free on this cuda; what fits: --weights bfloat16 --states 8bit (" in message
    check_room(need, 200e9, eight_billion, settings, GPU, 16384)


def test_no_more_layers_are_computed_anew_than_needed(eight_billion):
    settings = Settings(("x",), "llama", Path("out"), weights="bfloat16", states="8bit")
    every = [need_of(eight_billion, replace(settings, recompute=n), GPU, 16384, 4e6).total for n in range(33)]
    # One layer computed anew is all there again when its gradient is: that saves nothing yet.
    assert every[0] <= every[1]
    assert every[1:] == sorted(every[1:], reverse=True)
    for layers in (0, 7, 32):
        room = every[layers] / 0.92 + 1
        assert fewest_recomputed(eight_billion, settings, GPU, 16384, 4e6, room) == layers
    assert fewest_recomputed(eight_billion, settings, GPU, 16384, 4e6, 1.0) == 32


def test_activations_are_as_many_bytes_as_said(tmp_path, tokenizer):
    folder = make_model(tmp_path / "m", tokenizer, max_position_embeddings=4096)
    settings = Settings(("x",), str(folder), tmp_path)
    model = open_model(settings, open_config(settings), CPU)
    end_in_loss(model)
    set_attention(model, "sdpa")
    said = 3000 * token_bytes(model, settings, CPU)
    kept: dict[int, int] = {}
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    documents = [Encoded(row := [n % 50 for n in range(500)], row, "") for _ in range(6)]
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(**inputs_of(make_pack(documents, None, 0), CPU))
    assert said == pytest.approx(sum(kept.values()), rel=0.1)


def test_the_parts_add_up():
    need = Need(1e9, 2e9, 3e9, 4e9, 5e9)
    assert need.total == 15e9
    assert need.words() == "weights 1 GB, gradients 2 GB, states 3 GB, activations 4 GB, head 5 GB"


def test_a_launch_that_shards_takes_a_share_of_it(eight_billion, monkeypatch):
    settings = Settings(("x",), "llama", Path("out"))
    whole = need_of(eight_billion, settings, GPU, 0, 0.0)
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert need_of(eight_billion, settings, GPU, 0, 0.0) == whole
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    second = need_of(eight_billion, settings, GPU, 0, 0.0)
    assert (second.weights, second.gradients, second.states) == (
        whole.weights,
        whole.gradients / 8,
        whole.states / 8,
    )
    for names in ({"ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, {"ACCELERATE_USE_FSDP": "true"}):
        for name, value in names.items():
            monkeypatch.setenv(name, value)
        third = need_of(eight_billion, settings, GPU, 0, 0.0)
        # Each process reads all of the weights, 4 bytes each, before it keeps its share of 16.
        assert third.total == max(whole.weights, (whole.weights + whole.gradients + whole.states) / 8) + third.head
