"""What token-level fusion adds to an update at a vocabulary of 152k: sparse rows next to dense targets, in one run.

    python scripts/bench_fusion_loss.py                      512 tokens, two sources, 10 tokens kept of each
    python scripts/bench_fusion_loss.py --width 896          with the head of a model of half a billion weights

Three ways from stored distributions of a pivot and a source to the gradient of .9 * CLM + .1 * fusion (MinCE):

    sparse          curate: rows decoded from its folders, chosen by turn, and `fused_divergence`
    dense, FuseChat as released: a Python loop over positions scatters each row into bfloat16 zeros [T, V], for each
                    source; the sources are stacked, gathered by an argmax, and crossed with all logits
    dense, well     the chosen source alone, written in one call, and crossed with all logits

All start from the same hidden states and head [V, width] and end with the gradients of both; the third is nobody's
code, to show what is the loop's and what is the density's. The dense ways are given their rows as lists and tensors in
memory, curate's has to read and decode them. Processor seconds on one thread, the least of the repetitions; "adds" is
what a way takes beyond the CLM part of its own kind alone. Peak memory is that of a process of its own, beyond what it
held before. FuseChat: github.com/fanqiwan/FuseAI, FuseChat/train/{data_collator,trainer}.py, re-created.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

WEIGHT = 0.9
NLLS = {"pivot": (0.9, 0.4), "source": (0.6, 0.7)}
"""Nats per byte of the two documents: each is taught by the other one."""

WAYS = ("sparse", "dense, FuseChat", "dense, well")


def main() -> None:
    """Measure every way in a process of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=512, help="of the two documents of an update together")
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument(
        "--width", type=int, default=64, help="of the hidden states; the head's products are the same for all"
    )
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given)))
        return
    found = {}
    for way in WAYS:
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--one", way], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(done.stderr)
        found[way] = json.loads(done.stdout.splitlines()[-1])
    if given.json:
        print(json.dumps(found))
        return
    print(table(found, given))


def table(found: dict[str, Any], given: argparse.Namespace) -> str:
    """Return the figures as text."""
    lines = [
        f"{given.tokens} tokens, vocabulary {given.vocabulary:,}, width {given.width}, two sources of {given.k} tokens",
        f"{'tokens per processor second':30} {'targets':>12} {'fusion adds':>12} {'whole loss':>12} {'memory':>10}",
    ]
    names = ("targets", "adds", "whole")
    for way in WAYS:
        rates = "".join(f" {given.tokens / max(found[way][name], 1e-9):12,.0f}" for name in names)
        lines.append(f"{way:30}{rates} {found[way]['memory'] / 1e6:7,.0f} MB")
    sparse = found["sparse"]
    for way in WAYS[1:]:
        ratios = "".join(f" {found[way][name] / max(sparse[name], 1e-9):11,.1f}x" for name in names)
        lines.append(f"{'sparse over ' + way:30}{ratios} {found[way]['memory'] / sparse['memory']:9,.1f}x")
    losses = ", ".join(f"{way} {found[way]['loss']:.5f}" for way in WAYS)
    return "\n".join([*lines, f"loss: {losses} (bfloat16 targets are rounded)"])


def measured(given: argparse.Namespace) -> dict[str, float]:
    """Return processor seconds of the parts of one way, its peak memory in bytes, and the loss."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        world = World(given, Path(folder))
        ways: dict[str, Callable[[World], Sparse | Dense]]
        ways = {"sparse": Sparse, "dense, FuseChat": FuseChat, "dense, well": Dense}
        way = ways[given.one](world)
        alone = loss_time = float("inf")
        way.clm()
        before = peak()
        targets, taught = least(way.targets, given.repeat)
        for _ in range(given.repeat):
            # In turns, as a machine's speed changes with what else it does.
            alone = min(alone, least(way.clm, 1)[0])
            spent, loss = least(lambda: way.loss(taught), 1)
            loss_time = min(loss_time, spent)
        return {
            "targets": targets,
            "adds": targets + max(loss_time - alone, 0.0),
            "whole": targets + loss_time,
            "memory": max(peak() - before, 1),
            "loss": float(loss),
        }


def least(work: Callable[[], Any], times: int) -> tuple[float, Any]:
    """Return the least processor seconds of some calls, and what the last one returned."""
    best, found = float("inf"), None
    for _ in range(times):
        began = time.process_time()
        found = work()
        best = min(best, time.process_time() - began)
    return best, found


def peak() -> int:
    """Return the most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class World:
    """Two documents, what a pivot and a source find probable in them, hidden states and a head."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        import numpy as np
        import torch

        self.given, self.folder = given, folder
        self.length = given.tokens // 2
        random = np.random.default_rng(0)
        self.ids = random.integers(given.vocabulary, size=(2, self.length + 1))
        # Heads of a distribution as models have them: steep, with some mass left over.
        self.top = {name: self._distinct(random) for name in NLLS}
        raw = -np.sort(random.exponential(2.0, (len(NLLS), 2, self.length, given.k)), -1)
        rest = np.log(random.uniform(0.02, 0.2, (len(NLLS), 2, self.length, 1)))
        scale = np.log1p(-np.exp(rest)) - np.log(np.exp(raw).sum(-1, keepdims=True))
        self.logprobs = dict(zip(NLLS, (raw + scale).astype(np.float32), strict=True))
        self.tails = dict(zip(NLLS, rest[..., 0].astype(np.float32), strict=True))
        generator = torch.Generator().manual_seed(0)
        self.hidden = torch.randn(2 * self.length, given.width, generator=generator).requires_grad_()
        self.head = torch.randn(given.vocabulary, given.width, generator=generator).mul_(0.03).requires_grad_()
        self.targets = torch.from_numpy(self.ids[:, 1:].reshape(-1))

    def _distinct(self, random: Any) -> Any:
        # The k of a row must differ: a random start and steps that are no multiples of each other.
        import numpy as np

        start = random.integers(self.given.vocabulary, size=(2, self.length, 1))
        return (start + np.arange(self.given.k) * 7919) % self.given.vocabulary

    def forget(self) -> None:
        """Let go of the gradients."""
        self.hidden.grad = self.head.grad = None


class Sparse:
    """curate's way."""

    def __init__(self, world: World) -> None:
        import numpy as np

        from curate.train.data.tokens import NO_LOSS
        from curate.train.distill.lessons import Lesson, Turn
        from curate.train.distill.teaching import Teaching
        from curate.train.dists import Dist, Header, Record, open_dists, write_dists

        given, length = world.given, world.length
        self.world = world
        places = np.arange(length, dtype=np.uint32)
        for name, nlls in NLLS.items():
            header = Header(name, "0", "0", "0", given.k, given.vocabulary)
            nothing = np.zeros(length, np.uint32)
            records = (
                Record(f"{at:016x}", 0, Dist(
                    places, world.top[name][at].astype(np.uint32), world.logprobs[name][at], world.tails[name][at],
                    nlls[at], nothing.astype(np.uint8), nothing, nothing.astype(np.float32), b"",
                ))
                for at in range(2)
            )  # fmt: skip
            write_dists(world.folder / name, header, records)

        class Opened:
            """A folder under the name of its source."""

            def __init__(self, name: str) -> None:
                self.name, self.dists = name, open_dists(world.folder / name)

            def prepare(self, lessons: Any) -> None:
                """Do nothing: everything is there."""

            def get(self, sample: str, turn: Turn) -> Any:
                """Return what lies in the folder."""
                return self.dists.get(sample, turn.number)

        self.teaching = Teaching([Opened(name) for name in NLLS], "mince", "renormalise")
        self.lessons = [
            Lesson(ids.tolist(), [NO_LOSS, *ids[1:].tolist()], "", f"{at:016x}",
                   (Turn(0, places, np.arange(1, length + 1)),))
            for at, ids in enumerate(world.ids)
        ]  # fmt: skip

    def targets(self) -> Any:
        """Return what the two documents' tokens are taught."""
        from curate.train.logprobs import Taught

        pack = self.teaching.make(self.lessons, None, 0)
        return Taught(pack["ids"], pack["probabilities"], pack["tail"])

    def clm(self) -> Any:
        """Compute plain fine-tuning's loss and gradient."""
        from curate.train.logprobs import Head, cross_entropy

        self.world.forget()
        loss = cross_entropy(self.world.hidden, Head(self.world.head), self.world.targets) / len(self.world.targets)
        loss.backward()
        return loss.detach()

    def loss(self, taught: Any) -> Any:
        """Compute both parts and their gradient."""
        from curate.train.logprobs import Head, fused_divergence

        self.world.forget()
        count = len(self.world.targets)
        shares = WEIGHT / count, (1 - WEIGHT) / count
        loss, _ = fused_divergence(self.world.hidden, Head(self.world.head), self.world.targets, taught, shares)
        loss.backward()
        return loss.detach()


class Dense:
    """All logits, and the chosen source's rows scattered into a dense target in one call."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows = {name: (world.top[name], world.logprobs[name]) for name in NLLS}

    def targets(self) -> Any:
        """Return the target distributions [T, V]."""
        import torch

        world = self.world
        dense = torch.zeros(2 * world.length, world.given.vocabulary, dtype=torch.bfloat16)
        for at in range(2):
            name = min(NLLS, key=lambda name: NLLS[name][at])
            ids, logits = (torch.from_numpy(part[at]) for part in self.rows[name])
            rows = torch.arange(at * world.length, (at + 1) * world.length)[:, None]
            # Three times as fast as `scatter_` here.
            dense[rows, ids] = logits.softmax(1).bfloat16()
        return dense

    def clm(self) -> Any:
        """Compute the loss of the targets with all logits, and its gradient."""
        import torch

        self.world.forget()
        logits = self.world.hidden @ self.world.head.t()
        loss = torch.nn.functional.cross_entropy(logits, self.world.targets)
        loss.backward()
        return loss.detach()

    def loss(self, taught: Any) -> Any:
        """Compute both parts with all logits, and their gradient."""
        import torch

        self.world.forget()
        logits = self.world.hidden @ self.world.head.t()
        clm = torch.nn.functional.cross_entropy(logits, self.world.targets)
        fusion = torch.nn.functional.cross_entropy(logits, self.chosen(taught).float(), reduction="none").mean()
        loss = WEIGHT * clm + (1 - WEIGHT) * fusion
        loss.backward()
        return loss.detach()

    def chosen(self, taught: Any) -> Any:
        """Return the distributions that are learnt from."""
        return taught


class FuseChat(Dense):
    """The released collator and trainer: a loop over positions, and a choice among dense targets."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # As a dataset gives them: lists of lists.
        self.lists = {name: (ids.tolist(), logits.tolist()) for name, (ids, logits) in self.rows.items()}

    def targets(self) -> Any:
        """Return a dense target for each source."""
        import torch

        world, found = self.world, []
        for name in NLLS:
            dense = torch.zeros(2, world.length, world.given.vocabulary, dtype=torch.bfloat16)
            all_ids, all_logits = self.lists[name]
            for at in range(2):
                for place in range(world.length):
                    chance = torch.softmax(torch.tensor(all_logits[at][place], dtype=torch.bfloat16), -1)
                    dense[at][place] = dense[at][place].scatter_(-1, torch.tensor(all_ids[at][place]), chance)
            found.append(dense)
        return found

    def chosen(self, taught: Any) -> Any:
        """Return the target of the source with the highest exp(-nll), by document."""
        import torch

        rewards = [
            torch.exp(-torch.tensor(NLLS[name], dtype=torch.bfloat16))[:, None, None].expand_as(dense)
            for name, dense in zip(NLLS, taught, strict=True)
        ]
        best = torch.stack(rewards, -1).argmax(-1, keepdim=True)
        chosen = torch.stack(taught, -1).gather(-1, best)[..., 0]
        return chosen.view(-1, self.world.given.vocabulary)


if __name__ == "__main__":
    main()
