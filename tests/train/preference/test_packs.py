"""However groups lie in packs, their log-probabilities and gradients are the same."""

import pytest
import torch
from tiny_models import make_model

from curate.train import attention
from curate.train.model import end_in_loss, set_attention
from curate.train.preference.packs import LAYOUTS
from curate.train.preference.scoring import answer_logprobs, choose_layout
from curate.train.preference.settings import Dpo

CPU = torch.device("cpu")
SIDES = ("chosen_source", "chosen", "rejected")

FAMILIES = {
    "llama": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "mistral": {"sliding_window": 6},
    "gemma2": {"sliding_window": 6, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0,
               "query_pre_attn_scalar": 8},
}  # fmt: skip


def opened(folder):
    from transformers import AutoModelForCausalLM

    attention.register()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    end_in_loss(model)
    set_attention(model, "sdpa")
    return model


def one_by_one(model, groups):
    """Return the log-probabilities of the answers by the model's own logits of each conversation alone."""
    rows = []
    for group in groups:
        for answer in range(len(group.answers)):
            document = group.document(answer)
            logits = model(input_ids=torch.tensor([document.input_ids])).logits[0, :-1]
            labels = torch.tensor(document.labels[1:])
            rows.append(-torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
    return torch.stack(rows).view(len(groups), -1)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_layout_gives_the_logprobs_and_gradients_of_each_answer_alone(tmp_path, tokenizer, groups_of, family):
    model = opened(make_model(tmp_path / "m", tokenizer, family, **FAMILIES[family]))
    groups = groups_of(4, SIDES)
    weights = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3)

    def differentiated(logprobs):
        model.zero_grad()
        (logprobs * weights).sum().backward()
        return logprobs.detach().double(), {name: weight.grad.clone() for name, weight in model.named_parameters()}

    ours = {name: differentiated(answer_logprobs(model, LAYOUTS[name].make(groups, 16, 0), CPU)) for name in LAYOUTS}
    # transformers' own attention is the other side; it knows no softcap but in `eager`.
    model.set_attn_implementation("eager" if family == "gemma2" else "sdpa")
    alone, expected = differentiated(one_by_one(model, groups))
    for layout, (logprobs, gradients) in ours.items():
        torch.testing.assert_close(logprobs, alone, rtol=1e-5, atol=1e-4, msg=layout)
        for name, gradient in expected.items():
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-4, msg=f"{layout}: {name}")


def test_a_shared_prompt_stands_once(groups_of):
    groups = groups_of(3, SIDES)
    prompts = [len(group.prompt.input_ids) for group in groups]
    answers = [[len(answer.input_ids) for answer in group.answers] for group in groups]
    for name, copies in (("shared", 1), ("apart", 3)):
        tokens = copies * sum(prompts) + sum(map(sum, answers))
        assert LAYOUTS[name].make(groups, None, 0)["input_ids"].shape == (1, tokens)
        assert sum(LAYOUTS[name].measure(group).tokens for group in groups) == tokens
    widths = [max(prompt + answer for answer in own) for prompt, own in zip(prompts, answers, strict=True)]
    padded = [LAYOUTS["padded"].make([group], None, 0)["input_ids"] for group in groups]
    assert [pack.shape for pack in padded] == [(3, width) for width in widths]
    measures = [LAYOUTS["padded"].measure(group) for group in groups]
    assert [one.tokens + one.padding for one in measures] == [3 * width for width in widths]


def test_answers_go_on_at_the_positions_behind_the_prompt(groups_of):
    (group,) = groups_of(1)
    pack = LAYOUTS["shared"].make([group], None, 0)
    prompt, first, second = (len(part.input_ids) for part in (group.prompt, *group.answers))
    assert pack["position_ids"][0].tolist() == [*range(prompt + first), *range(prompt, prompt + second)]
    assert (pack["ends"], pack["prefixes"]) == ([0, prompt + first, prompt + first + second], [(0, 0), (0, prompt)])
    # The first token of either answer is predicted from the last one of the prompt.
    assert pack["places"].tolist().count(prompt - 1) == 2


def layout_of(model, **more):
    return choose_layout(model, Dpo(("x",), "m", "o", **more), CPU)


def test_how_groups_lie_follows_from_the_settings_and_the_attention(tiny, groups_of, monkeypatch):
    model = opened(tiny)
    assert layout_of(model) == ("shared", "")
    assert layout_of(model, share_prompts=False) == ("apart", "")
    assert layout_of(model, pack=False) == ("padded", "")
    set_attention(model, "flex")
    name, note = layout_of(model)
    assert name == "apart" and "flex_attention" in note
    # transformers' own attention knows nothing of prefixes, and gives other numbers.
    set_attention(model, "own")
    name, note = layout_of(model)
    assert name == "apart"
    assert (
        note == "a prompt is encoded again for each of its answers: the attention of LlamaForCausalLM cannot share it"
    )


def test_the_kernels_for_ragged_batches_are_told_of_prefixes(monkeypatch):
    """The kernel itself needs a GPU; what it is handed is held against plain attention."""
    seen = {}

    def kernel(q, k, v, ends, key_ends, longest, key_longest, scale, left):
        seen.update(ends=ends.tolist(), key_ends=key_ends.tolist(), longest=(longest, key_longest))
        out = []
        for n in range(len(ends) - 1):
            rows = [q[ends[n] : ends[n + 1]], *(part[key_ends[n] : key_ends[n + 1]] for part in (k, v))]
            rows = [row.transpose(0, 1)[None] for row in rows]
            behind = rows[1].shape[2] - rows[0].shape[2]
            mask = torch.ones(rows[0].shape[2], rows[1].shape[2], dtype=torch.bool).tril(behind)
            given = {"attn_mask": mask, "scale": scale, "enable_gqa": True}
            out.append(torch.nn.functional.scaled_dot_product_attention(*rows, **given)[0].transpose(0, 1))
        return torch.cat(out)

    monkeypatch.setattr(attention, "_varlen", lambda: kernel)
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 4, 12, 8), torch.randn(1, 2, 12, 8), torch.randn(1, 2, 12, 8)
    ends, prefixes = (0, 5, 8, 12), ((0, 0), (0, 3), (0, 3))
    rows, key_ends, key_longest = attention._key_rows(ends, prefixes)
    told = {"cu_seq_lens_q": torch.tensor(ends), "max_length_q": 5, "key_rows": rows, "cu_seq_lens_k": key_ends}
    ragged, _ = attention.varlen_attention(None, query, key, value, None, max_length_k=key_longest, scaling=0.3, **told)
    plain, _ = attention.sdpa_attention(
        None, query, key, value, None, scaling=0.3, documents=ends, prefixes=prefixes
    )  # fmt: skip
    torch.testing.assert_close(ragged, plain)
    assert seen == {"ends": [0, 5, 8, 12], "key_ends": [0, 5, 11, 18], "longest": (5, 7)}
