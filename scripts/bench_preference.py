"""What sharing prompts brings to preference training: curate next to TRL's DPOTrainer, in one run.

    python scripts/bench_preference.py
    python scripts/bench_preference.py --data pairs.jsonl --max-length 2048 --updates 8 --repeat 5

DPO on real pairs with a small randomly initialised model. The ratio of tokens, prompts encoded for each answer over
prompts encoded once, is the most that sharing can bring where everything costs by the token; the last layer does not,
as it is computed for the answers' tokens alone, in both. Pairs are tokenised once and come in the same order to all;
references are given, so that nobody's time holds a second model. TRL's best is the fastest of its batch sizes, with
batches of pairs of like length, fused AdamW and no activation checkpointing; it has no packing for DPO. Contenders take
turns, each in a process of its own; rates are medians over the repetitions.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

DATA = ROOT.parent / "shared" / "data" / "preference" / "dpo_en_demo.json"

VOCABULARY = 2_000
SHAPE = {"vocab_size": VOCABULARY, "hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 4,
         "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}  # fmt: skip
"""Small, with about the share of operations in its last layer that a model of eight billion weights has."""

CONTENDERS = ("curate, shared", "curate, apart", "TRL, 1 pair", "TRL, 2 pairs", "TRL, 4 pairs")


def main() -> None:
    """Run all contenders and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(DATA), help="pairs in any format that `curate train dpo` reads")
    parser.add_argument("--max-length", type=int, default=2_048, help="tokens of a prompt with an answer")
    parser.add_argument("--tokens", type=int, default=4_096, help="of a pack")
    parser.add_argument("--batch", type=int, default=16, help="pairs for each update")
    parser.add_argument("--updates", type=int, default=4, help="measured ones, after one more")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        name, path = json.loads(given.one)
        print(json.dumps((curate if name.startswith("curate") else trl)(name, path, given)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = prepare(given, Path(folder))
        report(path, given)


def prepare(given: argparse.Namespace, folder: Path) -> Path:
    """Write the encoded pairs of as many updates as are run, and print what sharing saves of their tokens."""
    import numpy as np
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    from curate.io import read_samples
    from curate.train.data.templates import find_template
    from curate.train.preference.pairs import PairCoder

    samples = list(read_samples(given.data))
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator((turn["content"] for sample in samples for turn in sample.messages), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>")
    template = find_template("chatml", tokenizer)
    coder = PairCoder(tokenizer, template, given.max_length, "truncate", ("chosen", "rejected"), "curate train dpo")
    rows = [one.documents for one in coder.encode(samples, given.data) if one.documents]
    lengths = np.array([[len(part.input_ids) for part in row] for row in rows])
    shared, apart = int(lengths.sum()), int(lengths.sum() + lengths[:, 0].sum())
    print(f"{len(rows):,} pairs: {apart:,} tokens with a prompt for each answer, {shared:,} with one")
    print(f"the ratio of tokens is {ratio(rows):.3f}")
    order = np.random.default_rng(0).permutation(len(rows))[: given.batch * (given.updates + 1)]
    path = folder / "pairs.json"
    path.write_text(json.dumps([[[part.input_ids, part.labels] for part in rows[place]] for place in order.tolist()]))
    measured = [rows[place] for place in order.tolist()[given.batch :]]
    print(f"{len(measured):,} of them are measured, and there it is {ratio(measured):.3f}")
    (folder / "ratio.json").write_text(json.dumps(ratio(measured)))
    return path


def ratio(rows: list[Any]) -> float:
    """Return the tokens with a prompt for each answer over those with a prompt for each pair."""
    shared = sum(len(part.input_ids) for row in rows for part in row)
    return 1 + sum(len(row[0].input_ids) for row in rows) / shared


def report(path: Path, given: argparse.Namespace) -> None:
    """Let the contenders take turns, and print what each does."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for turn in range(given.repeat):
        for name in CONTENDERS:
            options = ("max_length", "tokens", "batch", "updates", "threads")
            words = [word for key in options for word in (f"--{key.replace('_', '-')}", str(getattr(given, key)))]
            command = [sys.executable, __file__, "--one", json.dumps([name, str(path)]), *words]
            environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads), "TRL_EXPERIMENTAL_SILENCE": "1"}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                sys.exit(f"{name} failed: {(done.stderr.strip().splitlines() or [done.returncode])[-1]}")
            run = json.loads(done.stdout.strip().splitlines()[-1])
            found[name].append(run)
            line = f"{name}, run {turn + 1} of {given.repeat}: {run['cpu_rate']:.2f} pairs/cpu-s, {run['rate']:.2f}/s"
            print(f"{line}, loss {run['loss']:.5f}", file=sys.stderr, flush=True)
    allowed = json.loads((path.parent / "ratio.json").read_text())
    print(f"\n{given.threads} thread, median of {given.repeat} (lowest to highest); loss of the last update")
    print(f"  {'':<16}{'pairs/cpu-s':>22}{'pairs/s':>10}{'padding':>10}{'loss':>10}")
    for name, runs in found.items():
        rates = sorted(run["cpu_rate"] for run in runs)
        rate = f"{median(runs, 'cpu_rate'):.2f} ({rates[0]:.2f} to {rates[-1]:.2f})"
        padding = f"{median(runs, 'padding'):.1%}"
        print(f"  {name:<16}{rate:>22}{median(runs, 'rate'):>10.2f}{padding:>10}{runs[0]['loss']:>10.5f}")
    for key, words in (("cpu_rate", "processor seconds"), ("rate", "the clock")):
        shared, apart = (median(found[name], key) for name in CONTENDERS[:2])
        best = max(CONTENDERS[2:], key=lambda name, key=key: median(found[name], key))
        share = f"{shared / apart:.3f}, which is {shared / apart / allowed:.1%} of {allowed:.3f}"
        print(f"  by {words}: shared / apart {share}; shared / {best} {shared / median(found[best], key):.2f}")


def median(runs: list[dict[str, float]], key: str) -> float:
    """Return the median of a figure."""
    return statistics.median(run[key] for run in runs)


class Clock:
    """Takes the time after every update; the first, in which caches fill, does not count."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []
        self.loss = self.padding = 0.0
        self.tokens = self.computed = 0

    def mark(self) -> None:
        """Take the time."""
        self.marks.append((time.perf_counter(), time.process_time()))

    def figures(self, given: argparse.Namespace) -> dict[str, float]:
        """Return what came of it."""
        (began, cpu), (ended, cpu_end) = self.marks[0], self.marks[-1]
        pairs = given.batch * given.updates
        padding = 1 - self.tokens / self.computed if self.computed else self.padding
        return {"rate": pairs / (ended - began), "cpu_rate": pairs / (cpu_end - cpu), "padding": padding,
                "loss": self.loss}  # fmt: skip


def begin(path: str, given: argparse.Namespace) -> tuple[Any, list[Any]]:
    """Return the model and the groups, whose references are made up: their value costs nothing."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    from curate.train import attention
    from curate.train.data.tokens import Encoded
    from curate.train.preference.groups import Group

    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(given.threads)
    attention.register()
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", **SHAPE, max_position_embeddings=given.max_length)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
    groups = []
    for row in json.loads(Path(path).read_text()):
        prompt, *answers = (Encoded(ids, labels, "") for ids, labels in row)
        targets = [sum(label >= 0 for label in answer.labels) for answer in answers]
        groups.append(Group(prompt, tuple(answers), tuple(-7.6 * count for count in targets)))
    return model, groups


def curate(name: str, path: str, given: argparse.Namespace) -> dict[str, float]:
    """Train with curate."""
    import torch
    from torch import nn

    from curate.train.feed import dealt
    from curate.train.flops import work_of
    from curate.train.model import end_in_loss, set_attention
    from curate.train.preference.packs import LAYOUTS
    from curate.train.preference.run import PreferenceTrainer
    from curate.train.preference.settings import Dpo
    from curate.train.progress import Progress, Speed
    from curate.train.steps import Steps

    model, groups = begin(path, given)
    model.config.use_cache = False
    end_in_loss(model)
    set_attention(model, "sdpa")
    out = Path(path).parent / "curate"
    settings = Dpo(("data",), "m", out, batch=given.batch, samples=0, lr=1e-5, schedule="constant", warmup=0.0)
    update, in_epoch = dealt(groups, lambda epoch: range(len(groups)), given.batch)
    steps = Steps(update, in_epoch, layout=LAYOUTS[name.partition(", ")[2]], budget=given.tokens, epochs=1)
    clock = Clock()

    def tell(progress: Progress) -> None:
        clock.loss, clock.padding = progress.loss, progress.padding
        clock.mark()

    class Timed(PreferenceTrainer):
        def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
            """Write nothing: the updates are what is measured."""

    device = torch.device("cpu")
    speed = Speed(work_of(model), 1.0)
    trainer = Timed(
        model, settings, steps, speed, device, total=in_epoch, tokenizer=None, tell=tell, held_out=None
    )  # fmt: skip
    trainer.train()
    return clock.figures(given)


def rows_of(group: Any) -> list[list[int]]:
    """Return a group's conversations as tokens."""
    return [group.document(answer).input_ids for answer in range(len(group.answers))]


def trl(name: str, path: str, given: argparse.Namespace) -> dict[str, float]:
    """Train with TRL's DPOTrainer, in batches of so many pairs."""
    import tokenizers
    from datasets import Dataset, disable_progress_bars
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    model, groups = begin(path, given)
    disable_progress_bars()
    each, clock = int(name.split()[1]), Clock()
    rows = []
    for at in range(0, len(groups), given.batch):
        # Within an update, pairs of like length share a batch.
        for group in sorted(groups[at : at + given.batch], key=lambda one: max(map(len, rows_of(one)))):
            chosen, rejected = ([label for label in answer.labels if label >= 0] for answer in group.answers)
            rows.append({"prompt_ids": group.prompt.input_ids, "chosen_ids": chosen, "rejected_ids": rejected,
                         "ref_chosen_logps": group.reference[0], "ref_rejected_logps": group.reference[1]})  # fmt: skip
    arguments = DPOConfig(
        output_dir=str(Path(path).parent / "trl"), per_device_train_batch_size=each,
        gradient_accumulation_steps=given.batch // each, num_train_epochs=1, learning_rate=1e-5, beta=0.1,
        lr_scheduler_type="constant", weight_decay=0.0, logging_steps=1, save_strategy="no", report_to=[],
        disable_tqdm=True, use_cpu=True, bf16=False, gradient_checkpointing=False, max_length=None,
        optim="adamw_torch_fused", precompute_ref_log_probs=True, train_sampling_strategy="sequential",
    )  # fmt: skip

    class Timed(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _precompute_ref_logps(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
            clock.tokens += int(inputs["attention_mask"].sum())
            clock.computed += inputs["attention_mask"].numel()
            return super().training_step(model, inputs, *rest)

    class Marks(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.mark()

    made = tokenizers.Tokenizer(tokenizers.models.BPE({"<pad>": 0, "<end>": 1}, []))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<end>")
    trainer = Timed(
        model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, callbacks=[Marks()]
    )
    trainer.train()
    clock.loss = [row["loss"] for row in trainer.state.log_history if "loss" in row][-1]
    return clock.figures(given)


if __name__ == "__main__":
    main()
