"""Prices per million tokens: a dated file plus the user's own. An unknown price is unknown, never 0."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from curate.models.base import ModelOptions

FILE = Path(__file__).with_name("prices.yaml")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million input and output tokens."""

    input: float
    output: float

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Return the US dollars for so many tokens."""
        return (self.input * input_tokens + self.output * output_tokens) / 1_000_000


FREE = Price(0.0, 0.0)
"""For models that run on the user's own machine under the engine's eyes."""


def price_of(model: str, host: str, options: ModelOptions) -> Price | None:
    """Return a model's price: the user's own if both sides are given, else that of the file for this host, else None.

    The same name costs something else at another provider, so the file's prices hold for the hosts it names.
    """
    if options.price_in is not None and options.price_out is not None:
        return Price(options.price_in, options.price_out)
    return _table().get((host, model))


@cache
def _table() -> dict[tuple[str, str], Price]:
    import yaml

    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {
        (provider["host"], model): Price(float(price[0]), float(price[1]))
        for provider in content["providers"]
        for model, price in provider["models"].items()
    }
