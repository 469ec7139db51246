"""Distributions of tiny models, computed the plain way: one document at a time, with all logits at once."""

import numpy as np
import torch

from curate.io import read_samples
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder
from curate.train.dists import Dist, Header, Record, turn_key, write_dists
from curate.train.dists.places import locate
from curate.train.dists.vocabulary import vocabulary_of


def records_of(model_folder, data, k=10, keep=lambda number: True):
    """Yield a record of each turn of the samples in the file `data`, by the model in a folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    coder = Coder(tokenizer, find_template(None, tokenizer), 256)
    vocabulary = vocabulary_of(tokenizer, tokenizer.eos_token_id)
    for number, one in enumerate(locate(coder, vocabulary, list(read_samples(data)))):
        if not keep(number):
            continue
        with torch.no_grad():
            logits = model(torch.tensor([one.ids.tolist()])).logits[0]
        logp = torch.log_softmax(logits, 1)
        for turn in one.turns:
            rows = logp[turn.states]
            values, ids = rows.topk(k)
            true = torch.tensor(one.ids[turn.positions].astype(np.int64))
            nll = -rows.gather(1, true[:, None])[:, 0].numpy()
            inside = turn.offsets < len(turn.text)
            yield Record(turn_key(one.sample.messages), turn.turn, Dist(
                offsets=turn.offsets, ids=ids.numpy().astype(np.uint32), logprobs=values.numpy(),
                tail=torch.logsumexp(rows.scatter(1, ids, -torch.inf), 1).numpy(),
                nll_per_byte=float(nll[inside].sum()) / len(turn.text), kind=np.zeros(len(nll), np.uint8),
                tokens=true.numpy().astype(np.uint32), nll=nll, text=turn.text,
            ))  # fmt: skip


def header_of(model_folder, k=10, **more):
    """Return the header of a model's distributions."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    key = vocabulary_of(tokenizer).key
    return Header(model_folder.name, "0", key, "0", k, len(tokenizer), **more)


def write_asked(folder, model_folder, data, k=10, keep=lambda number: True, **more):
    """Write a folder of a model's distributions, and return it."""
    write_dists(folder, header_of(model_folder, k, **more), records_of(model_folder, data, k, keep))
    return folder
