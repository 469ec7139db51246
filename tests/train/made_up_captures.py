"""Captured folders without a model: rows drawn at random around the token that does follow."""

import numpy as np

from curate.fuse.capture.run import VOCABULARY
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder
from curate.train.dists import Header, write_dists
from curate.train.dists.reading import Reading, Rows
from curate.train.dists.vocabulary import write_vocabulary
from curate.types import Sample


def sample_of(text):
    """Return a sample in which the assistant says `text`."""
    return Sample("", ({"role": "user", "content": "Say it."}, {"role": "assistant", "content": text}))


def reading_of(tokenizer):
    """Return how a model with this tokenizer reads."""
    return Reading(Coder(tokenizer, find_template(None, tokenizer), 1 << 20))


def drawn_rows(tokens, size, k, generator):
    """Return rows that sum to 1, in which the true token is mostly probable and sometimes in the tail."""
    n = len(tokens)
    ids = np.stack([generator.permutation(size)[: k + 1] for _ in range(n)])
    for row, token in zip(ids, tokens, strict=True):
        row[row == token] = row[0]
    held = generator.random(n) < 0.9
    ids[held, 0] = tokens[held]
    mass = generator.dirichlet(np.full(k + 1, 0.5), n)
    mass[held] = -np.sort(-mass[held], 1)
    tail = mass[:, k]
    order = np.argsort(-mass[:, :k], 1, kind="stable")
    ids, mass = np.take_along_axis(ids[:, :k], order, 1), np.take_along_axis(mass[:, :k], order, 1)
    own = np.where(ids == np.asarray(tokens)[:, None], mass, 0).sum(1)
    nll = -np.log(np.where(held, own, tail / 2))
    return Rows(ids.astype(np.uint32), np.log(mass).astype(np.float32), np.log(tail).astype(np.float32),
                nll.astype(np.float32))  # fmt: skip


def captured(folder, tokenizer, texts, k=4, seed=0, size=None):
    """Write a captured folder of these texts and return how its source reads."""
    generator, reading = np.random.default_rng(seed), reading_of(tokenizer)
    size = size or len(reading.vocabulary.pieces)
    records = []
    for one in reading.locate([sample_of(text) for text in texts]):
        assert one.verdict.keep
        wanted = reading.wanted(one)
        records += reading.records(one, drawn_rows(one.ids[wanted], len(reading.vocabulary.pieces), k, generator))
    header = Header("source", "1", reading.vocabulary.key, reading.template_key, k, size)
    write_dists(folder, header, records)
    write_vocabulary(folder / VOCABULARY, reading.vocabulary)
    return reading


def target_folder(folder, tokenizer):
    """Save a tokenizer with the configuration of a model that has no weights: an alignment needs no more."""
    from transformers import AutoConfig

    AutoConfig.for_model("llama", vocab_size=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
