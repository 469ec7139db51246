"""How full packs get, and how long packing takes: curate and TRL's "bfd", on the same real documents in one run.

    python scripts/bench_packing.py data.jsonl more.json --budgets 2048 8192
    python scripts/bench_packing.py data.jsonl --repeat 10       as if there were ten times as many documents

The documents are those that `curate train sft` makes of the datasets, with a tokenizer of 8,000 tokens trained on them
and the template ChatML. TRL packs 1,000 documents at a time unless told otherwise, so it is also told to take all.
Times are processor seconds. TRL's hold the copying of the tokens into rows, which it does at once; curate's has a
line with the collating of all its packs into tensors, which it does while the model trains.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LONGEST = 2048


def documents_of(files: list[str]) -> list[Any]:
    """Return the encoded documents of the datasets."""
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    from curate.io import read_samples
    from curate.train.data.templates import find_template
    from curate.train.data.tokens import Coder

    samples = [sample for file in files for sample in read_samples(file)]
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=8_000,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator((turn["content"] for sample in samples[:5_000] for turn in sample.messages), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>")
    coder = Coder(tokenizer, find_template("chatml", tokenizer), LONGEST)
    return [document for one in coder.encode(samples, "") for document in one.documents]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what `work` returns and the processor seconds that it takes."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def compare(documents: list[Any], budget: int) -> None:
    """Print a row for each contender."""
    from datasets import Dataset, disable_progress_bars
    from trl import pack_dataset

    from curate.train.data.collate import collate
    from curate.train.data.packing import pack

    disable_progress_bars()
    lengths = np.array([len(one.input_ids) for one in documents])
    total = int(lengths.sum())
    packs, seconds = timed(lambda: pack(lengths, budget))
    _, more = timed(lambda: [collate([documents[place] for place in one]) for one in packs])
    rows = [("curate", len(packs), seconds), ("curate, with tensors", len(packs), seconds + more)]
    for name, size in (("TRL bfd (1,000 at a time)", 1_000), ("TRL bfd (all at once)", len(documents))):
        data = Dataset.from_dict({"input_ids": [one.input_ids for one in documents]}).with_format("arrow")
        options = {"batch_size": size, "load_from_cache_file": False}
        packed, seconds = timed(lambda data=data, options=options: pack_dataset(data, budget, "bfd", options))
        rows.append((name, len(packed), seconds))
    for name, count, seconds in rows:
        print(f"{budget:>7,}  {name:<26}{count:>8,}{1 - total / (count * budget):>10.3%}{seconds:>10.3f} s")


def main() -> None:
    """Print how many documents there are, and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--budgets", type=int, nargs="+", default=[2048, 4096, 16384])
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    documents = documents_of(options.files) * options.repeat
    lengths = [len(one.input_ids) for one in documents]
    fewest = {budget: -(-sum(lengths) // budget) for budget in options.budgets}
    print(
        f"{len(documents):,} documents, {sum(lengths):,} tokens, at most {max(lengths):,}; no packing can do with fewer"
    )
    print("rows than " + ", ".join(f"{count:,} of {budget:,}" for budget, count in fewest.items()) + "\n")
    print(f"{'budget':>7}  {'':<26}{'rows':>8}{'padding':>10}{'processor':>12}")
    for budget in options.budgets:
        compare(documents, budget)


if __name__ == "__main__":
    main()
