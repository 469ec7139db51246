"""Make a tiny, randomly initialised Qwen2 model and its tokenizer: `python tests/servers/tiny.py FOLDER`.

Nothing is downloaded and torch is not needed: the tokenizer is trained on the repository's own texts, the weights are
normal noise. The model knows nothing, but a server loads it, applies its chat template and samples from it like from
any other, which is all that a test of the transport, of schemas and of errors needs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = Path(__file__).parents[2]
VOCABULARY = 1024
HIDDEN, LAYERS, HEADS, KV_HEADS, INNER = 128, 2, 4, 2, 256
CONTEXT = 8192
"""Tokens; the weights do not depend on it."""

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tiny(folder: Path, *, context: int = CONTEXT, seed: int = 0) -> Path:
    """Write config, tokenizer and weights (about 0.7 MB) into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    end = tokenizer.token_to_id("<|im_end|>")
    save_file(_weights(size, seed), folder / "model.safetensors", metadata={"format": "pt"})
    files = {
        "config.json": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "vocab_size": size,
            "hidden_size": HIDDEN,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "max_position_embeddings": context,
            "tie_word_embeddings": True,
            "eos_token_id": end,
            "dtype": "float32",
        },
        "generation_config.json": {"eos_token_id": end, "do_sample": True},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": context,
            "chat_template": CHATML,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return folder


def _texts() -> Iterator[str]:
    for path in sorted((ROOT / "README.md", *ROOT.glob("prompts/**/*.j2"), *ROOT.glob("domains/*.jsonl"))):
        yield path.read_text(encoding="utf-8")


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return tokenizer


def _weights(vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def noise(*shape: int) -> np.ndarray:
        return (0.02 * rng.standard_normal(shape)).astype(np.float32)

    ones, kv = np.ones(HIDDEN, np.float32), HIDDEN * KV_HEADS // HEADS
    weights = {"model.embed_tokens.weight": noise(vocabulary, HIDDEN), "model.norm.weight": ones}
    for layer in range(LAYERS):
        for name, width in (("q", HIDDEN), ("k", kv), ("v", kv)):
            weights[f"model.layers.{layer}.self_attn.{name}_proj.weight"] = noise(width, HIDDEN)
            weights[f"model.layers.{layer}.self_attn.{name}_proj.bias"] = np.zeros(width, np.float32)
        weights[f"model.layers.{layer}.self_attn.o_proj.weight"] = noise(HIDDEN, HIDDEN)
        for name in ("gate", "up"):
            weights[f"model.layers.{layer}.mlp.{name}_proj.weight"] = noise(INNER, HIDDEN)
        weights[f"model.layers.{layer}.mlp.down_proj.weight"] = noise(HIDDEN, INNER)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"model.layers.{layer}.{name}.weight"] = ones
    return weights


if __name__ == "__main__":
    print(make_tiny(Path(sys.argv[1])))
