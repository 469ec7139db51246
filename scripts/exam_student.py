"""Make a small student for benchmarks of exams: a Llama with a BPE tokenizer trained on the spot on the exams' texts.

A few steps of training keep its answers from being ties. It knows next to nothing, which these scripts need not.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from curate.stages.exam.files import read_questions
from curate.stages.exam.paper import LETTERS
from curate.types import Question


def make_student(
    folder: Path,
    sources: Iterable[str],
    *,
    layers: int,
    hidden: int,
    vocabulary: int = 8192,
    context: int = 4096,
    steps: int = 40,
    seed: int = 0,
) -> Path:
    """Write the model and its tokenizer to `folder`, unless they are there, and return it."""
    if (folder / "config.json").exists():
        return folder
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    questions = [question for source in sources for question in read_questions(source)]
    fast = _tokenizer(map(_text, questions), vocabulary)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=fast, eos_token="<|end|>", pad_token="<|end|>")
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers,
        num_attention_heads=hidden // 64, num_key_value_heads=max(hidden // 128, 1), max_position_embeddings=context,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step, ids in enumerate(itertools.islice(_batches(tokenizer, questions, seed), steps)):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step == steps - 1:
            print(f"training: step {step}, loss {loss.item():.2f}", flush=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(texts: Iterable[str], vocabulary: int):  # noqa: ANN202
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _text(question: Question) -> str:
    options = "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, question.options, strict=False))
    return f"{question.text.strip()}\n{options}Answer: {LETTERS[question.answer]}\n\n"


def _batches(tokenizer, questions: list[Question], seed: int, rows: int = 8, length: int = 128) -> Iterator:  # noqa: ANN001
    import torch

    chance = random.Random(seed)
    stream: list[int] = []
    while True:
        for question in chance.sample(questions, len(questions)):
            stream += tokenizer(_text(question))["input_ids"]
            if len(stream) >= rows * length:
                yield torch.tensor(stream[: rows * length]).reshape(rows, length)
                stream = []
