"""The engine's map: order, bounds, nesting, errors, stopping. With scripted models; servers are in test_http."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

from curate.errors import InputError, ModelError
from curate.models import Engine, Ledger, ModelOptions, ScriptedModel
from curate.types import Completion, Failure, Request


@pytest.fixture
def engine():
    """An engine without a file whose teacher echoes the question."""
    with Ledger() as ledger, Engine({"teacher": ScriptedModel(echo)}, ledger) as running:
        yield running


async def echo(request: Request) -> str:
    text = request.messages[-1]["content"]
    if text.startswith("sleep "):
        await asyncio.sleep(float(text.split()[1]))
    return text


def test_outcomes_come_in_input_order_whatever_finishes_first(engine, ask_for):
    delays = [0.2, 0.0, 0.1, 0.05, 0.0]
    requests = [ask_for(f"sleep {delay} {n}") for n, delay in enumerate(delays)]
    assert [c.text for c in engine.run(requests)] == [r.messages[0]["content"] for r in requests]


def test_an_outcome_carries_its_item_and_value(engine, ask_for):
    async def work(item, ask):
        first = await ask(ask_for(f"{item}"))
        second = await ask(ask_for(f"{first.text}+{first.text}"))
        return second.text

    assert [(o.item, o.value) for o in engine.map([3, 1, 2], work)] == [(3, "3+3"), (1, "1+1"), (2, "2+2")]


def test_items_are_pulled_in_the_callers_thread_and_never_further_than_the_window(engine, ask_for):
    pulled = 0
    threads = set()

    def items():
        nonlocal pulled
        for number in range(500):
            pulled += 1
            threads.add(threading.current_thread())
            yield ask_for(str(number))

    ahead = []
    for yielded, _ in enumerate(engine.run(items(), window=7)):
        ahead.append(pulled - yielded)
    assert threads == {threading.current_thread()}
    assert max(ahead) <= 7 + 1 and pulled == 500


def test_one_slow_call_does_not_stop_the_rest(engine, ask_for):
    """The first of 6,000 items ends only when all others have: more than are worked on at a time."""
    finished = []

    async def work(item, ask):
        while item == 0 and len(finished) < 5999:
            await asyncio.sleep(0.01)
        finished.append((await ask(ask_for(str(item)))).text)

    assert [outcome.item for outcome in engine.map(range(6000), work)] == list(range(6000))
    assert finished[-1] == "0"


def test_a_map_may_be_nested_in_the_items_and_between_the_outcomes_of_another(engine, ask_for):
    inner = lambda n: engine.run(ask_for(f"inner {n} {k}") for k in range(3))  # noqa: E731
    requests = (ask_for(f"outer {n} {len(list(inner(n)))}") for n in range(20))
    seen = [(c.text, [d.text for d in inner(100 + n)]) for n, c in enumerate(engine.run(requests, window=4))]
    assert seen[19] == ("outer 19 3", ["inner 119 0", "inner 119 1", "inner 119 2"])


def test_it_works_inside_a_running_event_loop(engine, ask_for):
    async def notebook_cell():
        return [c.text for c in engine.run([ask_for("a"), ask_for("b")])]

    assert asyncio.run(notebook_cell()) == ["a", "b"]


def test_map_inside_a_work_function_is_refused_instead_of_hanging(engine, ask_for):
    async def work(item, ask):
        return list(engine.run([ask_for("x")]))

    with pytest.raises(RuntimeError, match="a work function must use its `ask`"):
        list(engine.map([1], work))


def test_what_a_work_function_raises_reaches_the_caller(engine, ask_for):
    async def work(item, ask):
        await ask(ask_for(str(item)))
        return 1 / (item - 5)

    outcomes = engine.map(range(1000), work, window=3)
    with pytest.raises(ZeroDivisionError):
        list(outcomes)
    assert [c.text for c in engine.run([ask_for("still alive")])] == ["still alive"]


def test_a_model_that_raises_reaches_the_caller(ask_for):
    def broken(request):
        raise KeyError("a bug in the script")

    with Ledger() as ledger, Engine({"teacher": ScriptedModel(broken)}, ledger) as engine, pytest.raises(KeyError):
        list(engine.run([ask_for()]))


def test_an_unknown_role_names_those_there_are(engine, ask_for):
    with pytest.raises(InputError, match="no model for the role 'judge'; there are: teacher"):
        list(engine.run([ask_for(role="judge")]))


def test_closing_the_iterator_drops_what_was_not_sent(ask_for):
    asked = []

    async def slow(request):
        asked.append(request.messages[0]["content"])
        await asyncio.sleep(0.02)
        return "ok"

    with Ledger() as ledger:
        with Engine({"teacher": ScriptedModel(slow)}, ledger) as engine:
            outcomes = engine.run((ask_for(str(n)) for n in itertools.count()), window=10)
            next(outcomes)
            outcomes.close()
        sent = len(asked)
        assert sent <= 21
        # What was out when the iterator was closed is in the ledger all the same.
        assert sum(total.calls for total in ledger.totals()) == sent


def test_what_was_answered_is_in_the_ledger_although_ctrl_c_leaves_at_once(ask_for, tmp_path):
    asked = []

    def reply(request):
        asked.append(request)
        return "paid"

    with Ledger(tmp_path / "c.sqlite") as ledger:
        with pytest.raises(KeyboardInterrupt), Engine({"teacher": ScriptedModel(reply)}, ledger) as engine:
            next(engine.run(ask_for(str(n)) for n in range(5000)))
            raise KeyboardInterrupt
        sent = len(asked)
    with Ledger(tmp_path / "c.sqlite") as ledger:
        assert sum(total.calls for total in ledger.totals()) == sent > 0


def test_the_engine_must_be_open(ask_for):
    with Ledger() as ledger:
        engine = Engine({"teacher": ScriptedModel(echo)}, ledger)
        with pytest.raises(RuntimeError, match="use it as a context manager"):
            list(engine.run([ask_for()]))


def test_a_fatal_failure_raises_model_error_at_once(ask_for, tmp_path):
    class Refusing(ScriptedModel):
        limited = True

        @property
        def endpoints(self):
            return [self]

        address = "x"

        async def exchange(self, request):
            from curate.models import Exchange

            return Exchange(Completion(failure=Failure("auth", "http://host/v1: HTTP 401 wrong key")))

    with (
        Ledger() as ledger,
        pytest.raises(ModelError, match=r"^teacher: http://host/v1: HTTP 401 wrong key$"),
        Engine({"teacher": Refusing(echo)}, ledger) as engine,
    ):
        list(engine.run(ask_for(str(n)) for n in range(100_000_000)))


def test_stop_answers_what_was_not_sent_and_keeps_what_is_out(ask_for):
    async def slow(request):
        await asyncio.sleep(0.1)
        return "ok"

    with Ledger() as ledger, Engine({"teacher": ScriptedModel(slow)}, ledger) as engine:
        kinds = []
        for number, done in enumerate(engine.run((ask_for(str(n)) for n in range(100)), window=10)):
            kinds.append(done.failure.kind if done.failure else "text")
            if number == 0:
                engine.stop("stopped")
        assert engine.stopped == "stopped"
        assert kinds == sorted(kinds, reverse=True) and 10 <= kinds.count("text") <= 21
        assert kinds.count("stopped") == 100 - kinds.count("text") == engine.stats().failures["stopped"]


def test_a_model_that_computes_without_a_pause_does_not_hold_up_the_outcomes(ask_for):
    asked = []

    def busy(request):
        asked.append(request)
        time.sleep(0.002)
        return "done"

    with Ledger() as ledger, Engine({"teacher": ScriptedModel(busy)}, ledger) as engine:
        outcomes = engine.run(ask_for(str(n)) for n in range(1000))
        assert next(outcomes).text == "done" and len(asked) < 900
        outcomes.close()


def test_stop_does_not_wait_for_a_model_that_is_still_starting(ask_for):
    class Slow(ScriptedModel):
        async def start(self):
            await asyncio.sleep(60)

    began = time.perf_counter()
    with Ledger() as ledger, Engine({"teacher": Slow(echo)}, ledger) as engine:
        threading.Timer(0.1, engine.stop).start()
        assert [c.failure.kind for c in engine.run([ask_for("a"), ask_for("b")])] == ["stopped"] * 2
    assert time.perf_counter() - began < 20


def test_stop_still_replays(ask_for, tmp_path):
    with Ledger(tmp_path / "c.sqlite") as ledger:
        with Engine({"teacher": ScriptedModel(echo)}, ledger) as engine:
            list(engine.run([ask_for("known")]))
        with Engine({"teacher": ScriptedModel(echo)}, ledger) as engine:
            engine.stop()
            known, new = engine.run([ask_for("known"), ask_for("new")])
    assert (known.text, known.replayed) == ("known", True)
    assert new.failure.kind == "stopped"


def test_equal_requests_under_way_are_asked_once(ask_for):
    asked = []

    async def slow(request):
        asked.append(1)
        await asyncio.sleep(0.05)
        return "once"

    with Ledger() as ledger, Engine({"teacher": ScriptedModel(slow)}, ledger) as engine:
        done = list(engine.run([ask_for("same")] * 5))
        assert [c.text for c in done] == ["once"] * 5 and len(asked) == 1
        assert [c.replayed for c in done].count(False) == 1
        assert (engine.stats().calls, engine.stats().replayed) == (1, 4)


def test_stats_count_by_model_and_stage(ask_for):
    models = {
        "teacher": ScriptedModel(lambda r: "two words", name="t"),
        "judge": ScriptedModel(lambda r: "5", name="j"),
    }
    with Ledger() as ledger, Engine(models, ledger) as engine:
        requests = [ask_for("a b c"), ask_for("d", stage="judge", role="judge"), ask_for("a b c")]
        list(engine.run(requests))
        stats = engine.stats()
    assert (stats.calls, stats.replayed) == (2, 1)
    assert {k: (a.calls, a.input_tokens, a.output_tokens) for k, a in stats.by_model.items()} == {
        ("teacher", "t"): (1, 3, 2),
        ("judge", "j"): (1, 1, 1),
    }
    assert {k: a.calls for k, a in stats.by_stage.items()} == {"generate": 1, "judge": 1}
    assert stats.cost == 0.0 and stats.in_flight == 0


def test_options_settle_the_request_before_it_is_asked_and_keyed(ask_for):
    seen = []

    def note(request):
        seen.append((request.max_tokens, request.temperature))
        return "ok"

    model = ScriptedModel(note, options=ModelOptions(temperature=0.3, max_tokens=99))
    with Ledger() as ledger, Engine({"teacher": model}, ledger) as engine:
        one, two, three = engine.run([ask_for(), ask_for(temperature=0.3, max_tokens=5), ask_for(temperature=0.0)])
    assert sorted(seen) == [(99, 0.0), (99, 0.3)]
    assert one.key == two.key != three.key


def test_reasoning_is_kept_or_dropped_as_asked_and_always_in_the_ledger(ask_for):
    reply = Completion(text="4", reasoning="two and two")
    with Ledger() as ledger:
        for wanted, shown in (("drop", ""), ("keep", "two and two")):
            model = ScriptedModel(lambda r: reply, options=ModelOptions(reasoning=wanted))
            with Engine({"teacher": model}, ledger) as engine:
                assert [c.reasoning for c in engine.run([ask_for()])] == [shown]


def test_importing_the_package_loads_no_http_library():
    import subprocess
    import sys

    code = "import sys, curate.models; print([m for m in ('aiohttp', 'yaml', 'sympy', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
