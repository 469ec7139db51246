"""Prices: the dated file, the user's own, and what is unknown."""

from __future__ import annotations

import datetime

import pytest
import yaml

from curate.models import ModelOptions
from curate.models.prices import FILE, Price, price_of


def test_the_file_is_dated_and_holds_positive_prices():
    content = yaml.safe_load(FILE.read_text())
    assert isinstance(content["dated"], datetime.date)
    prices = {name: price for provider in content["providers"] for name, price in provider["models"].items()}
    embedding = {name for name in prices if "embedding" in name}
    assert len(prices) >= 10 and all(0 < low < high for name, (low, high) in prices.items() if name not in embedding)
    assert embedding and all(prices[name][0] > 0 and prices[name][1] == 0 for name in embedding)


@pytest.mark.parametrize(
    "model, host, options, price",
    [
        ("gpt-4o-mini", "api.openai.com", ModelOptions(), Price(0.15, 0.60)),
        ("gpt-4o-mini", "other.example", ModelOptions(), None),
        ("unheard-of", "api.openai.com", ModelOptions(), None),
        ("gpt-4o-mini", "api.openai.com", ModelOptions(price_in=1.0, price_out=2.0), Price(1.0, 2.0)),
        ("mine", "127.0.0.1", ModelOptions(price_in=0.0, price_out=0.0), Price(0.0, 0.0)),
        ("mine", "127.0.0.1", ModelOptions(price_in=1.0), None),
    ],
)
def test_the_users_own_price_wins_and_half_a_price_is_unknown(model, host, options, price):
    assert price_of(model, host, options) == price


def test_cost_is_per_million_tokens():
    assert Price(2.0, 8.0).cost(500_000, 250_000) == 3.0
