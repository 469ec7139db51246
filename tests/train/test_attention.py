"""Documents of a pack never see each other, whichever way attention is computed."""

from itertools import pairwise

import pytest
import torch
from tiny_models import make_model

from curate.train import attention
from curate.train.data.tokens import Encoded
from curate.train.model import causal, end_in_loss, inputs_of, open_config, set_attention
from curate.train.probe import check_model
from curate.train.settings import Settings
from curate.train.steps import make_pack

CPU = torch.device("cpu")

FAMILIES = {
    "llama": {},
    "qwen3": {},
    "mistral": {"sliding_window": 4},
    "gemma2": {"sliding_window": 4, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0,
               "query_pre_attn_scalar": 8},
    "granite": {"logits_scaling": 4.0},
    "cohere": {"logit_scale": 0.25, "use_qk_norm": False},
}  # fmt: skip


def opened(folder):
    from transformers import AutoModelForCausalLM

    attention.register()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    end_in_loss(model)
    set_attention(model, "sdpa")
    return model


def documents(*lengths):
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(3, 200, (length,), generator=generator).tolist() for length in lengths]
    return [Encoded(row, [-100] * (len(row) // 3) + row[len(row) // 3 :], "") for row in rows]


def own_sums(model, some):
    """Return each document's summed loss by the model's own logits, alone."""
    losses = []
    for document in some:
        ids, labels = torch.tensor([document.input_ids]), torch.tensor([document.labels])
        logits = model(input_ids=ids).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum"))
    return losses


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pack_gives_the_loss_and_gradient_of_its_documents_alone(tmp_path, tokenizer, family):
    model = opened(make_model(tmp_path / "m", tokenizer, family, **FAMILIES[family]))
    some = documents(9, 1, 14, 5)
    packed = model(**inputs_of(make_pack(some, None, 0), CPU))
    packed.backward()
    ours = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    # transformers' own plain attention is the other side; it knows no softcap but in `eager`.
    model.set_attn_implementation("eager" if family == "gemma2" else "sdpa")
    alone = sum(own_sums(model, some))
    alone.backward()
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-4)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(ours[name], weight.grad, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow  # it is compiled, which takes a minute
def test_flex_attention_gives_the_same_as_plain_attention(tiny):
    model = opened(tiny)
    pack = make_pack(documents(9, 14, 5), None, 0)
    with torch.no_grad():
        plain = model(**inputs_of(pack, CPU))
        set_attention(model, "flex")
        torch.testing.assert_close(model(**inputs_of(pack, CPU)), plain, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("window", [None, 3])
def test_the_kernels_for_ragged_batches_are_told_the_same(monkeypatch, window):
    """The kernel itself needs a GPU; what it is handed is held against plain attention of each document."""
    seen = {}

    def kernel(q, k, v, ends, key_ends, longest, key_longest, scale, left):
        assert key_ends is ends and key_longest == longest
        seen.update(ends=ends.tolist(), longest=longest, left=left)
        out = []
        for start, end in pairwise(ends):
            rows = [part[start:end].transpose(0, 1)[None] for part in (q, k, v)]
            far = torch.arange(end - start)[:, None] - torch.arange(end - start)
            mask = (far >= 0) & ((far <= left) if left >= 0 else True)
            given = {"attn_mask": mask, "scale": scale, "enable_gqa": True}
            out.append(torch.nn.functional.scaled_dot_product_attention(*rows, **given)[0].transpose(0, 1))
        return torch.cat(out)

    monkeypatch.setattr(attention, "_varlen", lambda: kernel)
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 4, 12, 8), torch.randn(1, 2, 12, 8), torch.randn(1, 2, 12, 8)
    given = {"scaling": 0.3, "sliding_window": window}
    ragged, _ = attention.varlen_attention(
        None, query, key, value, None, cu_seq_lens_q=torch.tensor([0, 5, 12]), max_length_q=7, **given
    )
    plain, _ = attention.sdpa_attention(None, query, key, value, None, documents=(0, 5, 12), **given)
    torch.testing.assert_close(ragged, plain)
    assert seen == {"ends": [0, 5, 12], "longest": 7, "left": -1 if window is None else 2}


def test_the_kernels_of_the_installed_torch_are_found():
    """A signature that moved again would give None, and with it the slower attention on every GPU."""
    assert attention._varlen() is not None


def test_a_model_that_carries_its_state_from_document_to_document_is_refused(tmp_path, tokenizer):
    from curate.errors import InputError

    sizes = {"state_size": 4, "num_hidden_layers": 2, "hidden_size": 32, "expand": 2, "time_step_rank": 4}
    folder = make_model(tmp_path / "m", tokenizer, "mamba", **sizes)
    settings = Settings(("x",), str(folder), tmp_path)
    model = opened_any(folder)
    with pytest.raises(InputError, match=r"change each other.*--no-pack"):
        check_model(model, settings, CPU)
    from dataclasses import replace

    check_model(model, replace(settings, pack=False), CPU)


def opened_any(folder):
    from transformers import AutoModelForCausalLM

    open_config(Settings(("x",), str(folder), folder))
    attention.register()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    end_in_loss(model)
    return model


def test_a_head_that_does_more_than_is_known_is_refused(tiny, tmp_path):
    from curate.errors import InputError

    model = opened(tiny)
    head = causal(model).lm_head
    plain = head.forward
    head.forward = lambda hidden: plain(hidden) * 2
    with pytest.raises(InputError, match="more to its logits"):
        check_model(model, Settings(("x",), str(tiny), tmp_path), CPU)
