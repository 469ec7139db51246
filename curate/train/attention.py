"""Attention in which the documents of a pack never see each other, registered with transformers under three names.

`varlen` runs the kernels of `torch.nn.attention.varlen` over the documents' ends, `flex` is transformers'
`flex_attention` with the mask that it derives from the positions, and `sdpa` runs PyTorch's plain attention document
by document, so that no mask of T x T is ever made. All three give the same to rounding.

The ends come to the attention as the keyword `documents` (Python integers) and, on a GPU, as `cu_seq_lens_q` (a tensor
of int32), beside `max_length_q`, as transformers' own kernels know them.

Answers to one prompt can share it: then a document goes on from the beginning of another one, its prefix, which it sees
as if it stood before it. Where that is so the keys are not the queries, and have their own ends.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

NAMES = {"varlen": "curate_varlen", "flex": "flex_attention", "sdpa": "curate_plain"}
"""Our names, and those under which transformers knows them; it refuses Gemma 2 any with "sdpa" in it."""


def choose(device: torch.device, dtype: torch.dtype, config: Any) -> str:
    """Return which of NAMES a model runs best with on `device`; `dtype` is that of its activations."""
    if device.type != "cuda":
        return "sdpa"
    soft = getattr(config, "attn_logit_softcapping", None)
    heads = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    fits = (
        dtype in (torch.bfloat16, torch.float16) and heads <= 256 and torch.cuda.get_device_capability(device)[0] >= 8
    )
    return "varlen" if fits and not soft and _varlen() is not None else "flex"


def register() -> None:
    """Make the names known to transformers; a model takes one by `set_attn_implementation`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAMES["varlen"], varlen_attention)
    AttentionInterface.register(NAMES["sdpa"], sdpa_attention)


Prefix = tuple[int, int]
"""The number of a document in the pack, and how many of its first tokens another one sees before its own."""


def keywords(
    ends: Sequence[int], longest: int, device: torch.device, prefixes: Sequence[Prefix] | None = None
) -> dict[str, Any]:
    """Return what a model's forward pass hands to the attention about a pack's documents.

    `prefixes` are those of each document; (any, 0) is none. `flex` takes no prefixes.
    """
    # Tuples, as what does not change: what is compiled would be compiled anew for every pack.
    found: dict[str, Any] = {"documents": tuple(ends), "max_length_q": longest}
    if prefixes is not None:
        found["prefixes"] = tuple(prefixes)
    if device.type == "cuda":
        found["cu_seq_lens_q"] = torch.tensor(ends, dtype=torch.int32).to(device, non_blocking=True)
        if prefixes is not None:
            rows, key_ends, key_longest = _key_rows(ends, prefixes)
            found["key_rows"] = rows.to(device, non_blocking=True)
            found["cu_seq_lens_k"] = key_ends.to(device, non_blocking=True)
            found["max_length_k"] = key_longest
    return found


def _key_rows(ends: Sequence[int], prefixes: Sequence[Prefix]) -> tuple[Tensor, Tensor, int]:
    """Return the rows of the pack that the documents see one after the other, their ends, and the longest part."""
    parts, lengths = [], [0]
    for (start, end), (number, length) in zip(pairwise(ends), prefixes, strict=True):
        parts += [torch.arange(ends[number], ends[number] + length), torch.arange(start, end)]
        lengths.append(length + end - start)
    return torch.cat(parts), torch.tensor(lengths).cumsum(0).to(torch.int32), max(lengths)


@functools.cache
def _varlen() -> Any:
    """Return `varlen_attn(query, key, value, ends, key ends, longest, longest keys, scale, window)`.

    Whatever this torch calls its parts. A document's queries are the last of its keys.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    if "window_size" in known:

        def attend(
            q: Tensor, k: Tensor, v: Tensor, q_ends: Tensor, k_ends: Tensor, q_longest: int, k_longest: int,
            scale: float | None, left: int,
        ) -> Any:  # fmt: skip
            grouped = {"enable_gqa": True} if q.shape[1] != k.shape[1] else {}
            window = {"scale": scale, "window_size": (left, 0)}
            return varlen_attn(q, k, v, q_ends, k_ends, q_longest, k_longest, **window, **grouped)
    else:  # torch 2.10, which has no window and takes as many heads of keys as of queries

        def attend(
            q: Tensor, k: Tensor, v: Tensor, q_ends: Tensor, k_ends: Tensor, q_longest: int, k_longest: int,
            scale: float | None, left: int,
        ) -> Any:  # fmt: skip
            if left >= 0 or (scale is not None and abs(scale * q.shape[-1] ** 0.5 - 1) > 1e-6):
                raise NotImplementedError("this torch's varlen_attn has no window and no scale; install torch>=2.11")
            times = q.shape[1] // k.shape[1]
            k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
            return varlen_attn(q, k, v, q_ends, k_ends, q_longest, k_longest, is_causal=True)

    return attend


def varlen_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    key_rows: Tensor | None = None,
    cu_seq_lens_k: Tensor | None = None,
    max_length_k: int = 0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Return [B, T, H, D] for query [B, H, T, D], key and value [B, H_kv, T, D], by the kernels for ragged batches."""
    # Rotary embeddings under autocast leave the first two in float32.
    q, k, v = (part.transpose(1, 2).flatten(0, 1).to(value.dtype) for part in (query, key, value))
    left = -1 if sliding_window is None else sliding_window - 1
    if key_rows is None:
        out = _varlen()(q, k, v, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, scaling, left)
    else:
        seen = (k[key_rows], v[key_rows])
        out = _varlen()(q, *seen, cu_seq_lens_q, cu_seq_lens_k, max_length_q, max_length_k, scaling, left)
    return out.unflatten(0, (query.shape[0], query.shape[2])), None


@torch.compiler.disable  # type: ignore[untyped-decorator]
def sdpa_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    documents: Sequence[int] | None = None,
    prefixes: Sequence[Prefix] | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Return what `varlen_attention` does, with PyTorch's plain attention: documents of one length at a time.

    Without `documents` (generation asks so) each row is one document, and `key` may be longer than `query`.
    """
    query, key = query.to(value.dtype), key.to(value.dtype)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = _mask(q.shape[2], k.shape[2], sliding_window, q.device, always=softcap is not None)
        if softcap is not None and mask is not None:
            return _softcapped(q, k, v, mask, scaling, softcap)
        return functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling, is_causal=mask is None and q.shape[2] > 1,
            enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip

    if documents is None:
        return attend(query, key, value).transpose(1, 2), None
    lengths = [end - start for start, end in pairwise(documents)]
    split = query.device.type == "cpu" and not dropout and sliding_window is None and softcap is None
    # Split, not sliced: the gradient of a slice is as large as the whole row, for each document.
    queries, *seen = (part.split(lengths, 2) for part in (query, key, value))
    parts: list[Tensor] = [query] * len(lengths)
    for (_length, before), places in _alike(lengths, prefixes).items():
        q, k, v = (torch.cat([part[place] for place in places]) for part in (queries, *seen))
        if before and prefixes:
            first = [torch.cat([part[prefixes[place][0]][:, :, :before] for place in places]) for part in seen]
            if split:
                out = _continued(q, first, (k, v), scaling)
            else:
                out = attend(q, *(torch.cat(both, 2) for both in zip(first, (k, v), strict=True)))
        else:
            out = attend(q, k, v)
        for place, part in zip(places, out.split(1), strict=True):
            parts[place] = part
    return torch.cat(parts, 2).transpose(1, 2), None


def _alike(lengths: Sequence[int], prefixes: Sequence[Prefix] | None) -> dict[tuple[int, int], list[int]]:
    """Return the documents by their length and that of what they see before their own; a call for each takes longer."""
    found: dict[tuple[int, int], list[int]] = {}
    for place, length in enumerate(lengths):
        found.setdefault((length, prefixes[place][1] if prefixes else 0), []).append(place)
    return found


def _continued(q: Tensor, before: Sequence[Tensor], own: Sequence[Tensor], scale: float | None) -> Tensor:
    """Return the attention of a document that goes on from a prefix, whose keys and values are `before`.

    With a mask the kernel would compute all that it hides; here each row of queries sees the prefix whole and, in a
    second call, its own document causally.
    """
    times = q.shape[1] // own[0].shape[1]
    seen = (part.repeat_interleave(times, 1) if times > 1 else part for part in (*before, *own))
    out: Tensor = _Continued.apply(q, *seen, scale)
    return out


class _Continued(torch.autograd.Function):  # type: ignore[misc]
    """Attention over two sets of keys, put together by their logsumexp (arXiv 2112.05682, section 2).

    The backward pass of the kernel takes the probabilities from the logsumexp that it is given: with that of both sets
    each call gives its own part of the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, before_k: Tensor, before_v: Tensor, k: Tensor, v: Tensor, scale: float | None
    ) -> Tensor:
        attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        first, first_sum = attend(q, before_k, before_v, 0.0, False, scale=scale)
        second, second_sum = attend(q, k, v, 0.0, True, scale=scale)
        both = torch.logaddexp(first_sum, second_sum)
        out = torch.lerp(second, first, (first_sum - both).exp()[..., None].to(first.dtype))
        ctx.save_for_backward(q, before_k, before_v, k, v, out, both)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, by_out: Tensor) -> tuple[Tensor | None, ...]:
        q, before_k, before_v, k, v, out, both = ctx.saved_tensors
        back = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        by_q, *by_before = back(by_out, q, before_k, before_v, out, both, 0.0, False, scale=ctx.scale)
        more, *by_own = back(by_out, q, k, v, out, both, 0.0, True, scale=ctx.scale)
        return by_q.add_(more), *by_before, *by_own, None


def _mask(rows: int, columns: int, window: int | None, device: torch.device, always: bool) -> Tensor | None:
    """Return the causal mask [rows, columns] of one document where the flag `is_causal` would not do."""
    narrow = window is not None and window < columns
    if not always and not narrow and rows in (1, columns):
        return None
    at = torch.arange(columns - rows, columns, device=device)[:, None] - torch.arange(columns, device=device)
    return (at >= 0) & (at < window) if window is not None else at >= 0


def _softcapped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scaling: float | None, softcap: float) -> Tensor:
    """Return attention with its scores bent by softcap * tanh(x / softcap) (Gemma 2)."""
    times = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
    scores = (q @ k.transpose(2, 3)) * (scaling if scaling is not None else q.shape[-1] ** -0.5)
    scores = softcap * torch.tanh(scores / softcap)
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1, dtype=torch.float32)
    return weights.to(v.dtype) @ v
