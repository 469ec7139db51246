"""The budget is never exceeded, whatever the sizes, the concurrency and the faults; and it is used up."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback_server import Answer, chat

from curate.errors import InputError
from curate.models import Budget, Engine, Ledger, ModelOptions, ScriptedModel, open_model
from curate.models.budget import Amount, Purse, prompt_bound
from curate.types import Completion, Request


def ask(number: int, text: str = "q", max_tokens: int = 50) -> Request:
    return Request("teacher", ({"role": "user", "content": text},), max_tokens, attempt=str(number), stage="s")


def run(model, budget, requests, ledger=None):
    with ledger or Ledger() as opened, Engine({"teacher": model}, opened, budget) as engine:
        done = list(engine.run(requests))
        return done, engine.stopped, opened.totals()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    calls=st.none() | st.integers(0, 40),
    tokens=st.none() | st.integers(0, 20_000),
    usd=st.none() | st.floats(0, 0.01),
)
def test_no_budget_is_ever_exceeded_at_any_moment(seed, calls, tokens, usd):
    rng = random.Random(seed)
    plan = {str(n): (rng.choice(["q", "中文" * 50, "x" * 300]), rng.randrange(1, 400)) for n in range(40)}
    spent = {"calls": 0, "tokens": 0, "usd": 0.0}

    async def reply(request):
        prompt = prompt_bound(request)
        used = rng.randrange(0, prompt + 1), rng.randrange(0, request.max_tokens + 1)
        # What is out counts in full: the server has already worked on it.
        spent["calls"] += 1
        spent["tokens"] += sum(used)
        spent["usd"] += (2 * used[0] + 8 * used[1]) / 1e6
        assert calls is None or spent["calls"] <= calls
        assert tokens is None or spent["tokens"] <= tokens
        assert usd is None or spent["usd"] <= usd + 1e-12
        await asyncio.sleep(rng.random() * 0.002)
        return Completion(text="ok", input_tokens=used[0], output_tokens=used[1])

    model = ScriptedModel(reply)
    model.price = open_model("t", "openai:x@http://h/v1", ModelOptions(price_in=2.0, price_out=8.0)).price
    requests = [ask(int(n), text, size) for n, (text, size) in plan.items()]
    done, stopped, totals = run(model, Budget(calls, tokens, usd), requests)
    kinds = [c.failure.kind if c.failure else "text" for c in done]
    assert kinds.count("text") == spent["calls"] == sum(t.calls for t in totals)
    assert set(kinds) <= {"text", "budget"} and (stopped == "budget") == ("budget" in kinds)
    if calls is not None and tokens is None and usd is None:
        assert spent["calls"] == min(calls, 40)


def test_refunds_let_more_be_asked_than_the_upper_bounds_say():
    model = ScriptedModel(lambda r: Completion(text="ok", input_tokens=1, output_tokens=1))
    bound = prompt_bound(ask(0)) + 50
    done, stopped, _ = run(model, Budget(tokens=bound + 2 * 30), [ask(n) for n in range(100)])
    texts = [c for c in done if c.text]
    assert len(texts) == 31 and stopped == "budget"
    assert done[-1].failure.message == "not sent: the budget is spent"


def test_what_the_ledger_holds_counts_and_replays_are_free(tmp_path):
    path = tmp_path / "c.sqlite"
    model = ScriptedModel(lambda r: "ok")
    for allowed, texts, stops in ((10, 10, "budget"), (10, 10, "budget"), (25, 25, "budget"), (100, 40, None)):
        done, stopped, totals = run(model, Budget(calls=allowed), [ask(n) for n in range(40)], Ledger(path))
        assert sum(bool(c.text) for c in done) == texts == sum(t.calls for t in totals)
        assert stopped == stops


def test_a_budget_in_money_needs_every_price(tmp_path):
    model = open_model("teacher", "openai:nobody-knows@http://127.0.0.1:1/v1")
    with Ledger() as ledger, pytest.raises(InputError) as caught:
        Engine({"teacher": model}, ledger, Budget(usd=1.0))
    assert "'nobody-knows' (teacher)" in str(caught.value) and "price_in" in str(caught.value)
    Engine({"teacher": model}, ledger, Budget(tokens=5))
    Engine({"teacher": ScriptedModel(lambda r: "free")}, ledger, Budget(usd=1.0))


def test_requests_that_brought_no_reply_keep_their_reservation(server, at, ledger):
    server.answer = lambda body, n: Answer(fault="reset") if n % 2 == 0 else "ok"
    bound = prompt_bound(ask(0)) + 50
    with Engine({"teacher": at(server, concurrency=1)}, ledger, Budget(tokens=3 * bound + 40)) as engine:
        done = list(engine.run(ask(n) for n in range(20)))
        stats = engine.stats()
    assert engine.stopped == "budget" and stats.possibly_billed == len(server.bodies) // 2 + len(server.bodies) % 2
    ledger.flush()
    kept = {t.kind: (t.calls, t.input_tokens + t.output_tokens) for t in ledger.totals()}
    assert kept["possibly_billed"] == (stats.possibly_billed, stats.possibly_billed * bound)
    assert sum(tokens for _, tokens in kept.values()) <= 3 * bound + 40
    assert sum(bool(c.text) for c in done) == kept[""][0] >= 1


def test_a_reply_without_a_count_of_tokens_counts_as_its_upper_bound(server, at, ledger):
    server.answer = lambda body, n: Answer(body=chat("ok", usage=None))
    bound = prompt_bound(ask(0)) + 50
    done, stopped, _ = run(at(server), Budget(tokens=4 * bound), [ask(n) for n in range(9)], ledger)
    assert (sum(bool(c.text) for c in done), len(server.bodies), stopped) == (4, 4, "budget")


def test_cost_is_tokens_times_the_users_price(server, at, ledger):
    server.answer = lambda body, n: Answer(body=chat("ok", usage=(1000, 100)))
    with Engine({"teacher": at(server, price_in=2.0, price_out=10.0)}, ledger, Budget(usd=0.02)) as engine:
        done = list(engine.run(ask(n, max_tokens=100) for n in range(3)))
        assert [c.cost for c in done] == [0.003] * 3 and engine.stats().cost == pytest.approx(0.009)
    assert ledger.totals()[0].cost == pytest.approx(0.009)


@pytest.mark.parametrize("when", ["waiting", "admitted"])
def test_a_caller_that_is_cancelled_leaves_no_reservation(when):
    async def main():
        purse = Purse(Budget(calls=1), (), lambda: pytest.fail("the budget is not spent"))
        one = Amount(calls=1)
        assert await purse.reserve(one)
        waiting = asyncio.create_task(purse.reserve(one))
        await asyncio.sleep(0)
        if when == "waiting":
            waiting.cancel()
            purse.settle(one)
        else:  # the turn has come, and the task has not run since
            purse.settle(one)
            waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert await asyncio.wait_for(purse.reserve(one), 1)

    asyncio.run(main())


def test_a_call_that_is_cancelled_while_its_model_starts_leaves_no_reservation():
    class Slow(ScriptedModel):
        async def start(self):
            await asyncio.sleep(0.2)

    async def work(number, send):
        if number == 0:  # asked and given up while the model starts
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(send(ask(0)), 0.05)
            return ""
        return (await send(ask(1))).text

    with Ledger() as ledger, Engine({"teacher": Slow(lambda _: "yes")}, ledger, Budget(calls=1)) as engine:
        assert [outcome.value for outcome in engine.map([0, 1], work, window=1)] == ["", "yes"]
