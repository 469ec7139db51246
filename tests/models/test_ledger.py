"""The ledger: what it keeps, its keys, its totals, and what happens to files that are wrong."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest

from curate.errors import LedgerError
from curate.models import Ledger, Total
from curate.models.keys import call_key
from curate.models.ledger import Record
from curate.types import Completion, Failure, Request

BASE = Request("teacher", ({"role": "user", "content": "hi"},), 10)


def put(ledger, key, completion, stage="s", role="teacher"):
    ledger.put(Record(key, stage, role, completion), lambda error: None)
    ledger.flush()


def test_a_call_comes_back_as_it_went_in(tmp_path):
    done = Completion(
        b"k".hex(), "text ünï 中", Failure("refusal", "no"), "stop", "because", 3, 4, 0.25, 1.5, "m", replayed=True
    )
    with Ledger(tmp_path / "c.sqlite") as ledger:
        put(ledger, b"k", done)
    with Ledger(tmp_path / "c.sqlite") as ledger:
        assert ledger.get_many([b"k", b"absent"]) == {b"k": done}


def test_every_text_survives_and_long_ones_are_small_on_the_disk(tmp_path):
    rng = random.Random(1)
    noise = "".join(chr(rng.randrange(0x20, 0x2FFF)) for _ in range(3000))
    texts = ["", "a" * 100_000, noise, "\ud800 lone surrogate", "\ud800" * 1000, "nul \x00 inside", "中" * 500]
    with Ledger(tmp_path / "c.sqlite") as ledger:
        for number, text in enumerate(texts):
            put(ledger, bytes([number]), Completion(text=text, model="m"))
        found = ledger.get_many([bytes([n]) for n in range(len(texts))])
        assert [found[bytes([n])].text for n in range(len(texts))] == texts
    assert (tmp_path / "c.sqlite").stat().st_size < 60_000


@pytest.mark.parametrize(
    "change, same",
    [
        ({}, True),
        ({"prompt": "p", "variables": {"a": 1}, "stage": "x", "role": "judge"}, True),
        ({"max_tokens": 11}, False),
        ({"temperature": 0.0}, False),
        ({"schema": {}}, False),
        ({"sampling": {"top_p": 0.9}}, False),
        ({"attempt": "1"}, False),
        ({"messages": ({"role": "system", "content": "hi"},)}, False),
    ],
)
def test_the_key_is_of_what_the_model_sees_and_the_attempt(change, same):
    from dataclasses import replace

    assert (call_key("m", replace(BASE, **change)) == call_key("m", BASE)) is same
    assert call_key("other", BASE) != call_key("m", BASE)


def test_keys_of_schemas_do_not_depend_on_the_order_of_their_fields():
    from dataclasses import replace

    one, two = replace(BASE, schema={"a": 1, "b": 2}), replace(BASE, schema={"b": 2, "a": 1})
    assert call_key("m", one) == call_key("m", two)
    # A key that changes asks every user to pay again: this value may change only with the ledger's version.
    assert call_key("m", BASE).hex() == "bbfb20e69db43df2fe5fef9d900b03ee"


def test_totals_add_up_over_sessions_by_stage_role_model_and_kind(tmp_path):
    for session in range(2):
        with Ledger(tmp_path / "c.sqlite") as ledger:
            put(ledger, bytes([session, 0]), Completion(text="a", input_tokens=5, output_tokens=2, cost=0.5, model="m"))
            put(ledger, bytes([session, 1]), Completion(text="b", input_tokens=1, output_tokens=1, model="m"))
            failed = Completion(failure=Failure("bad_request", "x"), cost=0.0, model="m")
            put(ledger, bytes([session, 2]), failed, stage="judge", role="judge")
            ledger.account(Total("s", "teacher", "m", "possibly_billed", 1, 100, 50, 0.1, 0))
    with Ledger(tmp_path / "c.sqlite") as ledger:
        assert ledger.totals() == [
            Total("judge", "judge", "m", "bad_request", 2, 0, 0, 0.0, 0),
            Total("s", "teacher", "m", "", 4, 12, 6, 1.0, 2),
            Total("s", "teacher", "m", "possibly_billed", 2, 200, 100, 0.2, 0),
        ]


def test_verdicts_are_found_before_and_after_they_are_written(tmp_path):
    with Ledger(tmp_path / "c.sqlite") as ledger:
        ledger.put_verdict("equal", "1", {"strict": True}, "a = b", {"same": True})
        assert ledger.get_verdict("equal", "1", {"strict": True}, "a = b") == {"same": True}
    with Ledger(tmp_path / "c.sqlite") as ledger:
        assert ledger.get_verdict("equal", "1", {"strict": True}, "a = b") == {"same": True}
        for other in (("equal", "2", {"strict": True}), ("equal", "1", {}), ("other", "1", {"strict": True})):
            assert ledger.get_verdict(*other, "a = b") is None
        ledger.put_verdict("equal", "1", {"strict": True}, "a = b", False)
        ledger.flush()
        assert ledger.get_verdict("equal", "1", {"strict": True}, "a = b") is False


def test_many_writers_share_commits(tmp_path):
    with Ledger(tmp_path / "c.sqlite") as ledger:
        done = []
        threads = [
            threading.Thread(
                target=lambda part=part: [
                    ledger.put(Record(b"%d.%d" % (part, n), "s", "r", Completion(text="x")), done.append)
                    for n in range(500)
                ]
            )
            for part in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ledger.flush()
        assert done == [None] * 2000
        assert len(ledger.get_many([b"%d.%d" % (p, n) for p in range(4) for n in range(500)])) == 2000


@pytest.mark.parametrize("version, age", [(0, "an older"), (2, "a newer")])
def test_a_ledger_of_another_version_is_refused_and_not_touched(tmp_path, version, age):
    path = tmp_path / "c.sqlite"
    with Ledger(path) as ledger:
        put(ledger, b"k", Completion(text="kept"))
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={version}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=rf"c.sqlite: written by {age} curate \(ledger version {version}, .* reads 1"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    text = tmp_path / "text.sqlite"
    text.write_text("hello " * 1000)
    with pytest.raises(LedgerError, match=r"text.sqlite: the file is damaged; restore it .*not a database"):
        Ledger(text)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE photos (id)")
    connection.close()
    with pytest.raises(LedgerError, match=r"other\.sqlite: an SQLite file that is no ledger of curate"):
        Ledger(other)


def test_a_damaged_ledger_is_refused_where_it_is_read(tmp_path):
    path = tmp_path / "c.sqlite"
    with Ledger(path) as ledger:
        for number in range(200):
            ledger.put(Record(b"%d" % number, "s", "r", Completion(text=os.urandom(300).hex())), lambda error: None)
    data = bytearray(path.read_bytes())
    data[8192:-4096] = os.urandom(len(data) - 8192 - 4096)
    path.write_bytes(data)
    with pytest.raises(LedgerError, match="the file is damaged"), Ledger(path) as ledger:
        ledger.get_many([b"%d" % number for number in range(200)])


def test_a_missing_folder_and_an_unwritable_file_are_named(tmp_path):
    with pytest.raises(LedgerError, match=r"absent/c.sqlite: the file cannot be opened for writing"):
        Ledger(tmp_path / "absent" / "c.sqlite")
    folder = tmp_path / "is-a-folder"
    folder.mkdir()
    with pytest.raises(LedgerError, match="is-a-folder: the file cannot be opened"):
        Ledger(folder)


FULL = """
    import hashlib, resource, signal, sys
    from curate.errors import LedgerError
    from curate.models import Engine, Ledger, ScriptedModel
    from curate.types import Request

    path, limit = sys.argv[1], int(sys.argv[2])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    noise = lambda r: "".join(hashlib.sha512(f"{r.attempt} {n}".encode()).hexdigest() for n in range(4))
    kept = 0
    try:
        with Ledger(path) as ledger:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            with Engine({"t": ScriptedModel(noise)}, ledger) as engine:
                for done in engine.run(Request("t", (), 1, attempt=f"{n:05}") for n in range(20000)):
                    kept += 1
    except LedgerError as error:
        print(kept, error)
"""


def test_a_full_disk_ends_the_run_with_one_line_and_loses_nothing(tmp_path):
    """A limit on the size of files stands in for a full disk: writes beyond it fail in the same place."""
    path = tmp_path / "c.sqlite"
    code = textwrap.dedent(FULL)
    ran = subprocess.run([sys.executable, "-c", code, str(path), "3000000"], capture_output=True, text=True)
    kept, _, line = ran.stdout.strip().partition(" ")
    assert line.startswith(f"{path}: ") and "what is committed is kept" in line and ran.stderr == ""
    with Ledger(path) as ledger:
        held = sum(total.calls for total in ledger.totals())
        keys = [call_key("scripted", Request("t", (), 1, attempt=f"{n:05}")) for n in range(int(kept))]
        assert held >= int(kept) > 0 and len(ledger.get_many(keys)) == int(kept)
