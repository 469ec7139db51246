"""Which prompts are for SFT and which for preference training: what one side learns from, the other does not see."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

SHARE = 0.4
"""Of the prompts that SFT takes: FuseChat-3.0's 4:6 for instructions. WRPO takes a third."""


def is_for_sft(prompt_id: str, share: float, seed: int) -> bool:
    """Is this prompt among the `share` that SFT takes? A hash decides, so that more prompts never move one."""
    digest = blake2b(f"{seed} {prompt_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


@dataclass(frozen=True, slots=True)
class Side:
    """The prompts that SFT takes, or the others."""

    sft: bool
    share: float
    seed: int

    def has(self, prompt_id: str) -> bool:
        """Is this prompt on the side?"""
        return is_for_sft(prompt_id, self.share, self.seed) == self.sft
