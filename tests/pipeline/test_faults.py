"""Servers that fail in every way: N rows still stand, every loss is counted by cause, and no secret is seen."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
import runs
import teacher

from curate.errors import InputError, ModelError
from curate.pipeline.check import check_domains

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from loopback_server import Answer, LoopbackServer, chat, error

KEY = "sk-live-5f2c9a7be1d04e86"
ROWS = 40


def schema_of(body):
    return body.get("response_format", {}).get("json_schema", {}).get("schema")


class Faulty:
    """Answers as the teacher does, and now and then with a fault; `faults` counts them, `share` is their part."""

    def __init__(self, fault, share, only_schema=False):
        self.fault, self.share, self.only_schema = fault, share, only_schema
        self.faults = 0
        self.seen: Counter[str] = Counter()
        self.rng = random.Random(5)

    def __call__(self, body, number):
        schema = schema_of(body)
        if self.rng.random() < self.share and (schema or not self.only_schema):
            self.faults += 1
            return self.fault
        name = teacher.digest(body["messages"])
        self.seen[name] += 1
        return teacher.answer(body["messages"], schema, str(self.seen[name]))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("CURATE_API_KEY", KEY)
    monkeypatch.setattr("curate.models.attempts.BACKOFF", 0.01)
    running = LoopbackServer()
    yield running
    running.close()


def run_at(server, folder, rows=ROWS, **model):
    spec = {"spec": f"openai:tiny@{server.url}", "timeout": 0.4, **model}
    domain = runs.domain_file(folder, models={"teacher": spec})
    return runs.run(domain, folder / "out", None, rows=rows)


def no_key_in(folder: Path, *texts: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
    assert not any(KEY in text for text in texts)


def all_accounted(report):
    """Everything that came is kept or dropped, and every call that was lost is among the dropped with its cause."""
    gone = runs.dropped(report)
    lost = Counter(row["dropped"]["reason"] for row in gone if row["dropped"]["stage"] == "generate")
    assert lost == report.counts["lost"]
    assert report.accepted + len(gone) == report.counts["candidates"] + sum(lost.values())
    return lost + Counter(report.counts["explore"]["lost"])


PASSING = {
    "429": (Answer(429, error("slow down")), "rate_limit"),
    "429 with Retry-After": (Answer(429, error("slow down"), {"Retry-After": "0.05"}), "rate_limit"),
    "500": (Answer(500, error("oops")), "server"),
    "500 in HTML": (Answer(500, "<html><script>alert(1)</script>\x1b[31moops"), "server"),
    "503": (Answer(503, error("busy"), {"Retry-After": "0.02"}), "server"),
    "reset": (Answer(fault="reset"), "connection"),
    "hang": (Answer(fault="hang"), "timeout"),
    "truncated body": (Answer(fault="truncate"), "invalid_body"),
    "no JSON": (Answer(body="<!doctype html><title>gateway</title>"), "invalid_body"),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_asked_again_until_n_rows_stand(server, tmp_path, name):
    fault, kind = PASSING[name]
    server.answer = faulty = Faulty(fault, 0.15 if name == "hang" else 0.3)
    report = run_at(server, tmp_path)
    assert report.accepted == ROWS and report.exit_code == 0
    assert faulty.faults > 0
    given_up = report.stats.failures.get(kind, 0)
    assert report.stats.retries.get(kind, 0) + given_up == faulty.faults
    assert set(report.stats.retries) == {kind}
    assert all_accounted(report).get(kind, 0) == given_up
    no_key_in(tmp_path)


LOST = {
    "empty choice": (chat(""), "empty_choice"),
    "no choice": ({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}, "empty_choice"),
    "refusal": (chat(None, refusal="I cannot help with that."), "refusal"),
    "content filter": (chat("Some", finish="content_filter"), "refusal"),
    "truncated": (chat('{"samples": [{"instruction": "Half a', finish="length"), "truncated"),
    "prose": (chat("Sure! Here are some samples you will love."), "unreadable"),
    "wrong schema": (chat('{"samples": [{"question": 1}], "tasks": "none"}'), "unreadable"),
    "an array": (chat('[{"instruction": "A"}]'), "unreadable"),
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_is_counted_by_cause_and_made_up_for(server, tmp_path, name):
    body, kind = LOST[name]
    server.answer = faulty = Faulty(Answer(body=body), 0.25, only_schema=True)
    report = run_at(server, tmp_path)
    assert report.accepted == ROWS and report.exit_code == 0
    lost = all_accounted(report)
    assert set(lost) <= {kind, "over_width", "example_forbidden_word", "sub-task_repeated"}
    if kind == "unreadable":
        # A repair that works is no loss; what is lost was unreadable twice.
        assert lost[kind] * 2 <= faulty.faults
    else:
        assert lost[kind] == faulty.faults > 0
    # Every reply was paid for, so none is asked again.
    before = len(server.bodies)
    for path in (tmp_path / "out").glob("accepted.*"):
        path.unlink()
    assert run_at(server, tmp_path).accepted == ROWS
    assert len(server.bodies) == before


def test_one_repair_is_asked_for_and_shows_the_reply_and_the_error(server, tmp_path):
    replies = iter(["Here you are: nothing."])
    server.answer = lambda body, number: next(replies, None) or teacher.answer(body["messages"], schema_of(body))
    report = run_at(server, tmp_path, rows=5)
    assert report.accepted == 5 and not report.counts["explore"]["lost"]
    repair = server.bodies[1]["messages"]
    assert repair[: len(server.bodies[0]["messages"])] == server.bodies[0]["messages"]
    assert "Here you are: nothing." in repair[-1]["content"] and "no JSON object" in repair[-1]["content"]


FATAL = {
    "401": (Answer(401, error(f"Incorrect API key provided: {KEY}.", "invalid_api_key")), "CURATE_API_KEY"),
    "403": (Answer(403, error("You may not.")), "HTTP 403"),
    "no quota": (Answer(429, error("You exceeded your quota", "insufficient_quota")), "quota"),
    "unknown model": (Answer(404, error("The model `tiny` does not exist", "model_not_found")), "does not know 'tiny'"),
    "wrong URL": (Answer(404, "<html>Not found</html>"), "URL is wrong"),
}


@pytest.mark.parametrize("name", FATAL)
def test_what_no_retry_can_mend_stops_the_run_with_one_line_and_no_key(server, tmp_path, name):
    fault, words = FATAL[name]
    server.answer = lambda body, number: fault
    with pytest.raises(ModelError) as raised:
        run_at(server, tmp_path)
    said = str(raised.value)
    assert words in said and server.url in said and said.startswith("teacher: ") and "\n" not in said
    assert raised.value.exit_code == 1 and len(server.bodies) == 1
    no_key_in(tmp_path, said)


def test_at_the_command_line_a_wrong_key_is_one_line_and_exit_code_one(server, tmp_path):
    server.answer = lambda body, number: FATAL["401"][0]
    spec = f"openai:tiny@{server.url}"
    process = runs.child(runs.domain_file(tmp_path), tmp_path / "out", "--rows", "9", teacher_spec=spec)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and printed == ""
    assert errors.count("\n") <= 2 and "HTTP 401" in errors and "Traceback" not in errors
    no_key_in(tmp_path, printed, errors)


def test_a_key_that_fails_midway_keeps_what_was_paid_for(server, tmp_path):
    normal = Faulty(None, 0)
    server.answer = lambda body, number: normal(body, number) if number < 6 else FATAL["401"][0]
    with pytest.raises(ModelError):
        run_at(server, tmp_path, concurrency=1)
    server.answer = normal
    before = len(server.bodies)
    report = run_at(server, tmp_path)
    assert report.accepted == ROWS
    # Two of the six grew the tree, which is kept as a file.
    assert report.stats.replayed == 6 - 2 and report.stats.calls == len(server.bodies) - before
    no_key_in(tmp_path)


def test_a_context_that_is_too_long_drops_that_call_with_its_reason(server, tmp_path):
    message = "This model's maximum context length is 512 tokens. However, you requested 600 tokens."
    server.answer = faulty = Faulty(Answer(400, error(message, "context_length_exceeded")), 0.25, only_schema=True)
    report = run_at(server, tmp_path)
    assert report.accepted == ROWS
    assert all_accounted(report)["context_length"] == faulty.faults > 2
    assert report.stats.retries == {}


def test_a_server_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_API_KEY", KEY)
    monkeypatch.setattr("curate.models.attempts.BACKOFF", 0.01)
    monkeypatch.setattr("curate.models.attempts.BACKOFF_MOST", 0.02)
    monkeypatch.setattr("curate.models.lanes.DEAD_AFTER", 0.2)
    gone = LoopbackServer()
    gone.close()
    with pytest.raises(ModelError, match=rf"teacher: {gone.url}.*no connection.*failures in a row"):
        run_at(gone, tmp_path)
    no_key_in(tmp_path)


NAMES = [
    "../../../etc/passwd", "..", "CON", "nul.txt", "/etc/shadow", "C:\\Windows\\System32", "a\0b", "🎉 Feiern 🎊",
    "{{ 7 * 7 }}", "{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}", "<script>alert(1)</script>",
    "\x1b]0;owned\x07\x1b[2JClear", "\u202egnp.exe", "x" * 5000, "$(touch pwned)", "`touch pwned`; rm -rf .",
    "!!!", "   ",
]  # fmt: skip


class Hostile:
    """A teacher whose every text is an attack."""

    async def __call__(self, request):
        rng = random.Random(request.attempt)
        wanted = (request.schema or {}).get("properties", {})

        def text():
            first, last = rng.choice(NAMES)[:90], rng.choice(NAMES)[:90]
            return f"{first} {teacher.some_words(rng, 8)} {{{{ 6 * 7 }}}} \ud800 {last}"

        def sample():
            return {"instruction": f"Explain {text()}", "input": text(), "output": text()}

        if "samples" in wanted:
            return json.dumps({"samples": [sample() for _ in range(5)]})
        if "tasks" in wanted and "seeds" in wanted:
            tasks = [{"name": name[:80], "description": text()} for name in NAMES[:10] if name != ".."]
            return json.dumps({"name": "../../x", "root": NAMES[11], "description": text(), "tasks": tasks,
                               "guidance": text(), "rubric": text(), "verify": "none",
                               "seeds": [sample(), sample()]})  # fmt: skip
        if "tasks" in wanted:
            number = int(request.attempt.rpartition("/")[2])
            names = NAMES[number % len(NAMES) :][:2]
            return json.dumps({"tasks": [{"name": n, "reason": text(), "examples": [sample()]} for n in names]})
        return json.dumps({"same": 0, "why": text()})


def safe(text: str) -> None:
    assert not any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c in "\u202e\u2066" for c in text), repr(text)


@pytest.mark.parametrize("domain", ["file", "phrase"])
def test_what_a_model_writes_is_never_a_path_a_template_or_a_terminal_command(tmp_path, monkeypatch, capsys, domain):
    from curate.cli.explore import confirm_domain
    from curate.cli.summary import print_report

    monkeypatch.chdir(tmp_path)
    explore = {"depth": 1, "width": [12], "per_call": 2, "merge_candidates": 1}
    named = "an <evil> phrase $(up)" if domain == "phrase" else runs.domain_file(tmp_path, explore=explore)
    out = tmp_path / "runs" / "out"
    report = runs.run(named, out, Hostile(), rows=25)
    assert report.accepted == 25
    before = {"toy.yaml", "runs"} if domain == "file" else {"runs"}
    assert {path.name for path in tmp_path.iterdir()} == before
    allowed = {"run.yaml", "tree.json", "calls.sqlite", "latest.json", ".lock", "dataset", "domain.yaml", "report.html"}
    strange = {path.name for path in out.iterdir()} - allowed
    assert all(name.startswith(f"accepted.{report.key}") or name.startswith("calls.sqlite") for name in strange), (
        strange
    )
    assert {path.name for path in (out / "dataset").iterdir()} == {
        "train.jsonl", "train.parquet", "README.md", "domain.yaml",
    }  # fmt: skip
    # No model text was ever rendered: 6 * 7 is still written out, in the data and in what the teacher was shown.
    data = (out / "dataset/train.jsonl").read_text(encoding="utf-8")
    assert "{{ 6 * 7 }}" in data
    safe((out / "dataset/README.md").read_text(encoding="utf-8"))
    print_report(report, report.notes)
    shown = capsys.readouterr()
    safe(shown.out + shown.err)
    assert "x" * 300 not in shown.out
    for note in report.notes:
        safe(note)
    if domain == "phrase":
        confirm_domain(out / "domain.yaml")
        safe(capsys.readouterr().err)


def test_model_text_with_template_syntax_reaches_the_next_prompt_as_it_was_written(tmp_path):
    shown = []

    class Listening(Hostile):
        async def __call__(self, request):
            shown.append(request.messages[-1]["content"])
            return await super().__call__(request)

    tasks = [{"name": "{{ 7 * 7 }}", "description": "{% raw %} {{ config }}"}]
    runs.run(runs.domain_file(tmp_path, tasks=tasks), tmp_path / "out", Listening(), rows=20)
    assert any("{{ 7 * 7 }}" in text for text in shown) and any("{{ config }}" in text for text in shown)
    assert not any("\x1b" in text or "\u202e\n" in text for text in shown)


def test_the_credentials_of_a_url_reach_no_file_and_no_error(tmp_path):
    spec = "openai:m@http://bob:s3cr@t@127.0.0.1:9/v1,http://eve:s3cret@127.0.0.1:9/v1"
    domain = runs.domain_file(tmp_path, models={"teacher": {"spec": spec}})
    report = runs.run(domain, tmp_path / "out", rows=20)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert (tmp_path / "out/run.yaml") in files
    assert not [path for path in files if b"s3cr" in path.read_bytes()]
    (checked,) = check_domains([domain])
    assert not checked.problems and "s3cr" not in str(checked.as_json()) and report.accepted == 20
    for wrong in (spec.replace("openai", "opnai"), spec.replace("http:", "htp:")):
        for domain in (runs.domain_file(tmp_path), runs.domain_file(tmp_path, models={"teacher": {"spec": wrong}})):
            with pytest.raises(InputError) as caught:
                runs.run(domain, tmp_path / "other", wrong, rows=20)
            assert "s3cr" not in str(caught.value) and "***@" in str(caught.value)
