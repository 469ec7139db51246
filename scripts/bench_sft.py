"""Tokens per second and model FLOP utilisation of fine-tuning: curate next to TRL's SFTTrainer, in one run.

    python scripts/bench_sft.py --device cuda                 the four real shapes on a GPU
    python scripts/bench_sft.py --device cpu --threads 1      the tiny one on the CPU, in about five minutes
    python scripts/bench_sft.py --shapes qwen2.5-0.5b llama-3.1-8b --updates 20 --repeat 3

Models are randomly initialised; samples are real, tokenised once, the same for all. Everybody has the same weights'
and activations' precision and as many samples in an update, except "TRL, defaults", which is `SFTConfig()` but for the
device. TRL's best is the fastest of its own: packed (bfd) or padded batches of samples of like length, without
activation checkpointing, with fused AdamW, with FlashAttention and Liger where they are installed. Contenders take
turns, each in a process of its own; rates are medians over the repetitions, on real tokens without padding.

MFU counts, for each token, 6 operations per parameter of a matrix and half of attention's square of a document, over
the peak of the device (989e12 a second on an H100 or H200). The head is computed for tokens with a target alone, so it
is counted for those; "with head" counts it for every token, as if there were no prompts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
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

DATA = ROOT.parent / "shared" / "data" / "alpaca_en_demo.json"

QWEN = {"kind": "qwen2", "vocab_size": 151_936, "rope_theta": 1e6, "max_position_embeddings": 32_768}
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"kind": "qwen2", "vocab_size": 8_000, "hidden_size": 128, "intermediate_size": 384,
             "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen2.5-0.5b": {**QWEN, "hidden_size": 896, "intermediate_size": 4_864, "num_hidden_layers": 24,
                     "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen2.5-1.5b": {**QWEN, "hidden_size": 1_536, "intermediate_size": 8_960, "num_hidden_layers": 28,
                     "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen2.5-3b": {**QWEN, "hidden_size": 2_048, "intermediate_size": 11_008, "num_hidden_layers": 36,
                   "num_attention_heads": 16, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "llama-3.1-8b": {"kind": "llama", "vocab_size": 128_256, "hidden_size": 4_096, "intermediate_size": 14_336,
                     "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
                     "rope_theta": 5e5, "max_position_embeddings": 131_072, "tie_word_embeddings": False},
}  # fmt: skip

LEAN = ("llama-3.1-8b",)
"""Shapes whose weights are kept in bfloat16, as 16 bytes for each do not fit on one card."""

CONTENDERS = ("curate", "TRL, packed", "TRL, padded", "TRL, defaults")


def main() -> None:
    """Run all contenders on all shapes and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(DATA), help="samples in any format")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="[default: the GPU where there is one]")
    parser.add_argument("--shapes", nargs="*", choices=list(SHAPES))
    parser.add_argument("--updates", type=int, help="measured ones, after two more [default: 6 on a CPU, 20 on a GPU]")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tokens", type=int, help="of a pack [default: 2,048 on a CPU, 16,384 on a GPU]")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--compile", action="store_true", help="torch.compile for everybody")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each shape")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given, began = parser.parse_args(), time.perf_counter()
    import torch

    gpu = torch.cuda.is_available() if given.device is None else given.device == "cuda"
    if gpu and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no GPU here")
    given.device = "cuda" if gpu else "cpu"
    given.tokens = given.tokens or (16_384 if gpu else 2_048)
    given.updates = given.updates or (20 if gpu else 6)
    if given.one:
        contender, shape, path = json.loads(given.one)
        print(json.dumps(MEASURE[contender](contender, shape, path, given)))
        return
    given.shapes = given.shapes or ([name for name in SHAPES if name != "tiny"] if gpu else ["tiny"])
    with tempfile.TemporaryDirectory() as folder:
        path = prepare(given.data, Path(folder), given.tokens)
        for shape in given.shapes:
            report(shape, path, given)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, cpu = time.perf_counter() - began, spent.ru_utime + spent.ru_stime
    print(f"all of it took {seconds:,.0f} s and {cpu:,.0f} processor seconds", file=sys.stderr)
    if not gpu:
        print("the shapes of Qwen2.5 and Llama-3.1 were not run: --device cuda runs them on a GPU", file=sys.stderr)


def prepare(data: str, folder: Path, longest: int) -> Path:
    """Write the encoded documents, of at most 1,024 tokens, with the tokenizer beside them."""
    from bench_packing import documents_of

    rows = [(one.input_ids[:1024], one.labels[:1024]) for one in documents_of([data])]
    path = folder / "documents.json"
    path.write_text(json.dumps([row for row in rows if any(label >= 0 for label in row[1][1:])]))
    return path


def report(shape: str, path: Path, given: argparse.Namespace) -> None:
    """Print what each contender does on a shape."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for turn in range(given.repeat):
        for name in CONTENDERS:
            if turn and not found[name]:
                continue  # it failed before
            command = [
                sys.executable,
                __file__,
                "--one",
                json.dumps([name, shape, str(path)]),
                "--tokens",
                str(given.tokens),
                "--updates",
                str(given.updates),
                "--threads",
                str(given.threads),
                "--device",
                given.device,
            ]
            environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads), "TRL_EXPERIMENTAL_SILENCE": "1"}
            done = subprocess.run(
                [*command, *(["--compile"] if given.compile else [])], capture_output=True, text=True, env=environment
            )
            if done.returncode:
                last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
                print(f"{shape}: {name} failed: {last[:300]}")
            else:
                run = json.loads(done.stdout.strip().splitlines()[-1])
                found[name].append(run)
                line = f"{shape}: {name}, run {turn + 1} of {given.repeat}: {run['rate']:,.0f} tokens/s"
                print(f"{line}, {run['cpu_rate']:,.0f} tokens/cpu-s", file=sys.stderr, flush=True)
    found = {name: runs for name, runs in found.items() if runs}
    if given.json:
        print(json.dumps({"shape": shape, **found}))
        return
    best = max((name for name in found if name != "curate"), key=lambda name: median(found[name], "rate"), default="")
    one = next(iter(found.values()))[0]
    print(f"\n{shape}: {one['parameters'] / 1e6:,.1f}M parameters, {one['device']}, {one['precision']};")
    print(f"{one['targets']:.0%} of the tokens are targets; median of {given.repeat} (lowest to highest)")
    print(f"  {'':<14}{'tokens/s':>24}{'tokens/cpu-s':>14}{'MFU':>7}{'with head':>11}{'padding':>9}{'memory':>10}")
    for name, runs in found.items():
        rates = sorted(run["rate"] for run in runs)
        rate = f"{median(runs, 'rate'):,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f})"
        print(
            f"  {name:<14}{rate:>24}{median(runs, 'cpu_rate'):>14,.0f}{median(runs, 'mfu'):>7.3f}"
            f"{median(runs, 'mfu_head'):>11.3f}{median(runs, 'padding'):>9.1%}{median(runs, 'memory') / 1e9:>7.2f} GB"
        )
    if "curate" in found and best:
        ratios = {key: median(found["curate"], key) / median(found[best], key) for key in ("rate", "cpu_rate")}
        print(f"  curate / {best}: {ratios['rate']:.2f} by the clock, {ratios['cpu_rate']:.2f} by processor seconds\n")


def median(runs: list[dict[str, Any]], key: str) -> float:
    """Return the median of a figure."""
    return statistics.median(run[key] for run in runs)


def model_of(shape: str, device: Any, attention: str) -> Any:
    """Return the model of a shape with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    options = dict(SHAPES[shape])
    config = AutoConfig.for_model(options.pop("kind"), **options)
    torch.manual_seed(0)
    lean = shape in LEAN and device.type == "cuda"
    with device:
        return AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16 if lean else torch.float32, attn_implementation=attention
        )


class Clock:
    """Takes the time after every update; the first two, in which caches fill and kernels are chosen, do not count."""

    def __init__(self, model: Any, documents: list[Any], device: Any) -> None:
        from curate.train.flops import work_of

        self.work = work_of(model)
        self.parameters = sum(weight.numel() for weight in model.parameters())
        lengths = [len(ids) for ids, _ in documents]
        self.square = sum(length * length for length in lengths) / sum(lengths)
        self.targets = sum(sum(label >= 0 for label in labels[1:]) for _, labels in documents) / sum(lengths)
        self.device = device
        self.marks: list[tuple[float, float, int, int]] = []
        self.tokens = self.padding = 0

    def mark(self) -> None:
        """Take the time."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.marks.append((time.perf_counter(), time.process_time(), self.tokens, self.padding))

    def figures(self, precision: str) -> dict[str, Any]:
        """Return what came of it."""
        import torch

        from curate.train.flops import peak_of
        from curate.train.memory import peak_bytes

        (began, cpu, tokens, padding), (ended, cpu_end, tokens_end, padding_end) = self.marks[1], self.marks[-1]
        real, wasted = tokens_end - tokens, padding_end - padding
        peak, source = peak_of(self.device, torch.bfloat16 if self.device.type == "cuda" else torch.float32)
        each = self.work.token + self.work.square * self.square
        rate = real / (ended - began)
        return {
            "rate": rate, "cpu_rate": real / (cpu_end - cpu), "padding": wasted / (wasted + real),
            "mfu": rate * (each + self.work.target * self.targets) / peak,
            "mfu_head": rate * (each + self.work.target) / peak, "memory": peak_bytes(self.device),
            "parameters": self.parameters, "device": source, "precision": precision, "targets": self.targets,
        }  # fmt: skip


def begin(given: argparse.Namespace, path: str) -> tuple[Any, list[Any], int]:
    """Return the device, the documents, and how many of them fill a pack."""
    import torch
    from transformers.utils import logging

    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(given.threads)
    torch.set_float32_matmul_precision("high")
    documents = json.loads(Path(path).read_text())
    mean = sum(len(ids) for ids, _ in documents) / len(documents)
    return torch.device(given.device), documents, round(0.97 * given.tokens / mean)


def curate(_: str, shape: str, path: str, given: argparse.Namespace) -> dict[str, Any]:
    """Train with curate."""
    import numpy as np
    import torch
    from torch import nn

    from curate.train import attention
    from curate.train.data.tokens import Encoded
    from curate.train.feed import dealt
    from curate.train.model import autocasts, causal, end_in_loss, set_attention
    from curate.train.progress import Progress, Speed
    from curate.train.settings import Settings
    from curate.train.steps import Steps
    from curate.train.trainer import PackTrainer

    device, documents, batch = begin(given, path)
    attention.register()
    model = model_of(shape, device, "eager")
    model.config.use_cache = False
    lean = next(model.parameters()).dtype == torch.bfloat16
    words = {"weights": "bfloat16", "states": "8bit"} if lean else {}
    out = Path(path).parent / "curate"
    settings = Settings(("data",), shape, out, batch=batch, compile=given.compile, samples=0, **words)
    end_in_loss(model)
    name = attention.choose(device, torch.bfloat16 if device.type == "cuda" else torch.float32, model.config)
    set_attention(model, name)
    if given.compile:
        for layer in causal(model).get_decoder().layers:
            layer.compile()
    clock = Clock(model, documents, device)
    rows = [Encoded(ids, labels, "data") for ids, labels in documents]
    updates = given.updates + 2
    update, in_epoch = dealt(rows, lambda epoch: np.random.default_rng(epoch).permutation(len(rows)), batch)
    steps = Steps(
        update, in_epoch, budget=given.tokens, epochs=-(-updates // in_epoch), pad_to=64 if given.compile else None
    )

    def tell(_: Progress) -> None:
        clock.tokens, clock.padding = trainer.speed.tokens, trainer.speed.padding
        clock.mark()

    class Timed(PackTrainer):
        def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
            """Write nothing: the updates are what is measured."""

    trainer = Timed(
        model, settings, steps, Speed(clock.work, 1.0), device, total=updates, tokenizer=None, tell=tell,
        held_out=None,
    )  # fmt: skip
    trainer.train()
    precision = "bfloat16" if lean else "float32 weights, bfloat16 passes" if autocasts(settings, device) else "float32"
    return clock.figures(precision)


def trl(contender: str, shape: str, path: str, given: argparse.Namespace) -> dict[str, Any]:
    """Train with TRL's SFTTrainer."""
    import importlib.util

    import torch
    from datasets import Dataset, disable_progress_bars
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    device, documents, batch = begin(given, path)
    disable_progress_bars()
    gpu, kind = device.type == "cuda", contender.partition(", ")[2]
    flash = gpu and importlib.util.find_spec("flash_attn") is not None
    model = model_of(shape, device, "flash_attention_2" if flash else "sdpa")
    updates = given.updates + 2
    options: dict[str, Any] = {
        "output_dir": str(Path(path).parent / "trl"), "max_steps": updates, "report_to": [], "save_strategy": "no",
        "disable_tqdm": True, "use_cpu": not gpu, "bf16": gpu, "torch_compile": given.compile,
    }  # fmt: skip
    best = {
        "gradient_checkpointing": False, "optim": "adamw_torch_fused", "logging_steps": 1000,
        "use_liger_kernel": gpu and importlib.util.find_spec("liger_kernel") is not None,
    }  # fmt: skip
    each = 8 if batch >= 8 else batch
    options |= {
        "packed": {**best, "packing": True, "max_length": given.tokens, "per_device_train_batch_size": 1},
        "padded": {**best, "max_length": 1024, "per_device_train_batch_size": each,
                   "gradient_accumulation_steps": max(batch // each, 1), "train_sampling_strategy": "group_by_length"},
        "defaults": {},
    }[kind]  # fmt: skip
    clock = Clock(model, documents, device)

    class Timed(SFTTrainer):
        def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
            mask = inputs.get("attention_mask")
            real = int(mask.sum()) if mask is not None else inputs["input_ids"].numel()
            clock.tokens += real
            clock.padding += inputs["input_ids"].numel() - real
            return super().training_step(model, inputs, *rest)

    class Marks(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.mark()

    rows = Dataset.from_list([{"input_ids": ids, "labels": labels} for ids, labels in documents])
    trainer = Timed(
        model, SFTConfig(**options), train_dataset=rows, processing_class=tokenizer_of(), callbacks=[Marks()]
    )
    trainer.train()
    lean = next(model.parameters()).dtype == torch.bfloat16
    return clock.figures("bfloat16" if lean else "float32 weights, bfloat16 passes" if gpu else "float32")


def tokenizer_of() -> Any:
    """Return a tokenizer that TRL asks for a pad token; the documents are tokens already."""
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    made = tokenizers.Tokenizer(tokenizers.models.BPE({"<pad>": 0, "<end>": 1}, []))
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<end>")


MEASURE = {"curate": curate, "TRL, packed": trl, "TRL, padded": trl, "TRL, defaults": trl}
"""The function that measures each contender."""

if __name__ == "__main__":
    main()
