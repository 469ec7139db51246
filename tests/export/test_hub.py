"""Pushing to a Hub on loopback and pulling from it, through the Hub's own client."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import types
from pathlib import Path

import hub_server
import pytest

from curate.errors import HubError, InputError
from curate.export import Card, Splits, export
from curate.export import hub as hubs
from curate.export.pulling import fetch
from curate.text import content_id
from curate.types import Sample

TOKEN = "hf_ThisTokenMustNotBeSeen"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    users = {TOKEN: {"name": "me", "orgs": ("team",)}, "hf_reader": {"name": "me", "role": "read"}}
    with hub_server.serving(**users) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for name in ("HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_STORED_TOKENS_PATH"):
            monkeypatch.setattr(constants, name, str(tmp_path / "home" / name))
        # What is asked again is asked again at once.
        monkeypatch.setattr(_http, "time", types.SimpleNamespace(sleep=lambda _: None, time=_http.time.time))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        huggingface_hub.utils.logging.set_verbosity_error()
        yield served


def samples(count: int) -> list[Sample]:
    turns = [
        ({"role": "user", "content": f"What is {i}?"}, {"role": "assistant", "content": "½"}) for i in range(count)
    ]
    return [Sample(content_id(turn), turn, ("math", "sums")) for turn in turns]


def folder(path: Path, count: int = 50, **options) -> tuple[Path, list[str]]:
    """Export some rows to a folder, and name what a push sends of it."""
    card = Card("sums", licence="mit", repo="me/sums")
    written = export(samples(count), path, card=card, **options)
    return path, ["README.md", *(f"{name}.parquet" for name in written.splits), *options.get("files", ())]


def push(made: tuple[Path, list[str]], repo: str = "me/sums", public: bool = False) -> hubs.Pushed:
    return hubs.push(hubs.target(repo, public), *made, "rows")


def test_a_push_makes_a_private_repository_and_sends_each_file_once(hub, tmp_path):
    made = folder(tmp_path / "out", files={"images/tree.png": b"\x89PNG"})
    pushed = push(made)
    assert (pushed.private, pushed.changed, hub.repos["me/sums"].private) == (True, True, True)
    assert pushed.url == f"{hub.url}/datasets/me/sums" and pushed.commit == hub.repos["me/sums"].oid()
    files = {name: (made[0] / name).read_bytes() for name in made[1]}
    assert hub.repos["me/sums"].files == {".gitattributes": b"*.parquet filter=lfs\n", **files}
    assert pushed.size == sum(map(len, files.values())) and len(hub.repos["me/sums"].commits) == 2
    assert hub.asked("PUT", "/lfs/") == 2  # train.parquet and the picture


def test_what_has_not_changed_is_not_sent_again(hub, tmp_path):
    made = folder(tmp_path / "out")
    first = push(made)
    again = push(made)
    assert (again.changed, again.commit) == (False, first.commit)
    (made[0] / "README.md").write_text((made[0] / "README.md").read_text() + "\nMore.\n")
    assert push(made).changed is True
    assert hub.asked("PUT", "/lfs/") == 1 and hub.asked("POST", "/commit/") == 2
    assert hub.repos["me/sums"].files["README.md"].endswith(b"More.\n")


def test_a_push_through_the_client_with_xet_where_no_file_needs_it(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    hub.by_lfs = False
    made = folder(tmp_path / "out")
    push(made)
    assert hub.repos["me/sums"].files["train.parquet"] == (made[0] / "train.parquet").read_bytes()


def test_public_is_opted_into(hub, tmp_path):
    made = folder(tmp_path / "out")
    assert push(made, public=True).private is False and hub.repos["me/sums"].private is False
    with pytest.raises(
        InputError, match="me/sums exists and is public, and a push is private unless told: add --public"
    ):
        hubs.target("me/sums")
    hub.repos["me/sums"].private = True
    to = hubs.target("me/sums", public=True)
    assert to.private and to.notes[0].startswith("me/sums exists and stays private; make it public at http://127.0.0.1")


def test_a_repository_that_becomes_public_before_the_upload_gets_nothing(hub, tmp_path):
    made = folder(tmp_path / "out")
    push(made)
    to = hubs.target("me/sums")
    hub.repos["me/sums"].private = False
    with pytest.raises(HubError, match="has become public meanwhile: nothing was sent"):
        hubs.push(to, *folder(tmp_path / "more", 60), "rows")
    assert len(hub.repos["me/sums"].commits) == 2


def test_files_of_an_older_push_go_and_files_of_others_stay(hub, tmp_path):
    push(folder(tmp_path / "a", splits=Splits({"test": 0.3}), files={"images/tree.png": b"\x89PNG"}))
    hub.repos["me/sums"].commits.append({**hub.repos["me/sums"].files, "notes.txt": b"mine", "extra.parquet": b"mine"})
    to = hubs.target("me/sums")
    assert to.notes == ("me/sums has other files, which stay: extra.parquet, notes.txt",)
    hubs.push(to, *folder(tmp_path / "b"), "rows")
    assert sorted(hub.repos["me/sums"].files) == [
        ".gitattributes", "README.md", "extra.parquet", "notes.txt", "train.parquet"
    ]  # fmt: skip


def test_a_card_that_somebody_wrote_is_replaced_and_that_is_said(hub, tmp_path):
    hub.repos["me/sums"] = hub_server.Repo(True, [{"README.md": b"---\nlicense: mit\n---\n# By hand\n"}])
    assert hubs.target("me/sums").notes == ("its README.md is replaced; the old one stays in its history",)


@pytest.mark.parametrize(
    ("repo", "said"),
    [
        ("sums", "'sums' names no owner; a dataset on the Hub is USER/NAME"),
        ("me/a b", "'me/a b' cannot be a dataset's name"),
        ("me/a--b", "cannot be a dataset's name"),
        ("me/../x", "cannot be a dataset's name"),
        ("me/sums/x", "cannot be a dataset's name"),
        ("me/-x", "begins and ends with none of '-' and '.'"),
        ("me/" + "x" * 97, "at most 96"),
    ],
)
def test_names_that_none_can_have(repo, said):
    with pytest.raises(InputError, match=said):
        hubs.check_name(repo)


def test_without_a_token(hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"no token for the Hub: set HF_TOKEN .* or log in with `hf auth login`"):
        hubs.target("me/sums")
    assert hub.log == []
    with pytest.raises(HubError, match="me/gone: the Hub has no such dataset, or none that it shows without a token"):
        hubs.remote("me/gone")


def test_the_login_of_the_hub_serves_as_token(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    Path(constants.HF_TOKEN_PATH).parent.mkdir(parents=True)
    Path(constants.HF_TOKEN_PATH).write_text(TOKEN)
    assert hubs.target("me/sums").user == "me"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("hf_unknown", r"the Hub does not accept the token \(401\); set HF_TOKEN"),
        ("hf_reader", "the token of me may only read; make one that may write at https"),
        ("hf_with\N{RIGHT DOUBLE QUOTATION MARK}quote", "has characters that none has"),
    ],
)
def test_tokens_that_will_not_do(hub, monkeypatch, token, said):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=said) as caught:
        hubs.target("me/sums")
    assert token not in str(caught.value)


def test_what_belongs_to_somebody_else(hub, tmp_path):
    made = folder(tmp_path / "out")
    hub.repos["other/theirs"] = hub_server.Repo(False)
    for name in ("other/sums", "other/theirs"):
        with pytest.raises(
            HubError, match=f"{name}: you are me, and other is somebody else; you can push to me/…, team/…"
        ):
            push(made, name, public=True)
    assert hub.asked("POST", "") == 0
    assert push(made, "team/sums").private


def test_an_organisation_in_which_one_may_only_read(hub, tmp_path):
    made = folder(tmp_path / "out")
    hub.users[TOKEN]["reads"] = ("team",)
    with pytest.raises(HubError, match=r"team/sums: you as me may not do this \(403: .*rights to create"):
        push(made, "team/sums")
    hub.repos["team/theirs"] = hub_server.Repo(False)
    with pytest.raises(HubError, match=r"team/theirs: you as me may not do this \(403: .*write access"):
        push(made, "team/theirs", public=True)
    assert hub.asked("PUT", "") == 0 and len(hub.repos["team/theirs"].commits) == 1


@pytest.mark.parametrize(
    ("place", "status", "said"),
    [
        ("POST /api/repos/create", 429, r"the Hub asks for fewer requests \(429: .*\); wait some minutes"),
        ("/commit/main", 409, r"another change is being made \(409: "),
        ("/commit/main", 400, r"me/sums: the Hub refuses \(400: "),
        ("/info/lfs/objects/batch", 503, r"the Hub fails \(503: .*\); the same command again goes on from there"),
    ],
)
def test_refusals(hub, tmp_path, place, status, said):
    hub.refusals[place] = [status] * 20
    with pytest.raises(HubError, match=said) as caught:
        push(folder(tmp_path / "out"))
    assert "\n" not in str(caught.value) and TOKEN not in str(caught.value)


def test_a_hub_that_fails_in_the_middle_of_an_upload_and_the_same_again(hub, tmp_path):
    made = folder(tmp_path / "out", splits=Splits({"test": 0.3}))
    large = max((made[0] / name for name in made[1] if name.endswith(".parquet")), key=lambda path: path.stat().st_size)
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    hub.refusals[f"PUT /lfs/{digest}"] = [500] * 20
    with pytest.raises(HubError, match=r"the Hub fails \(500"):
        push(made)
    assert len(hub.repos["me/sums"].commits) == 1  # as it was made
    hub.refusals.clear()
    hub.log.clear()
    assert push(made).changed
    assert hub.asked("PUT", "/lfs/") == 1  # what had arrived is not sent again
    assert hub.repos["me/sums"].files["train.parquet"] == (made[0] / "train.parquet").read_bytes()


def test_a_push_that_was_killed_goes_on(hub, tmp_path):
    made = folder(tmp_path / "out", splits=Splits({"test": 0.3}))
    commit = "POST /api/datasets/me/sums/commit"
    release = hub.held[commit] = threading.Event()
    code = "import sys, pathlib; from curate.export import hub; folder, *files = sys.argv[1:]\n"
    code += "hub.push(hub.target('me/sums'), pathlib.Path(folder), files, 'rows')"
    known = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen([sys.executable, "-c", code, *map(str, (made[0], *made[1]))], env=os.environ | known)
    assert hub.arrived.wait(60)
    child.kill()
    child.wait()
    hub.refusals[commit] = [500]  # the server does not do it either
    release.set()
    assert hub.asked("PUT", "/lfs/") == 2
    assert push(made).changed
    assert hub.asked("PUT", "/lfs/") == 2  # all large files had arrived
    assert hub.repos["me/sums"].files["test.parquet"] == (made[0] / "test.parquet").read_bytes()


def test_no_network(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"the Hub cannot be reached \(ConnectError: .*\); check the network"):
        hubs.target("me/sums")


def test_offline(hub, monkeypatch):
    from huggingface_hub.errors import OfflineModeIsEnabled

    monkeypatch.setattr("huggingface_hub.HfApi.whoami", raising(OfflineModeIsEnabled("offline")))
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        hubs.target("me/sums")


def raising(error: Exception):
    def fail(*_, **__):
        raise error

    return fail


def test_a_token_that_a_library_or_a_server_repeats_is_hidden(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi.whoami", raising(ValueError(f"bad header 'Bearer {TOKEN}'")))
    with pytest.raises(HubError, match=r"bad header 'Bearer \*\*\*'") as caught:
        hubs.target("me/sums")
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def pull(repo: str, out: Path) -> dict[str, int]:
    return fetch(hubs.remote(repo), out, True, lambda *_: None)


def contents(path: Path) -> dict[str, bytes]:
    """The files of a pulled or exported folder, without what the pull itself remembers."""
    found = (file for file in path.rglob("*") if file.is_file())
    names = {file.relative_to(path).as_posix(): file for file in found}
    return {name: file.read_bytes() for name, file in names.items() if not name.startswith((".cache", ".pulled"))}


@pytest.mark.parametrize("reasoning", [False, True])
def test_what_was_pushed_comes_back_as_it_was(hub, tmp_path, reasoning):
    files = {"images/tree.png": b"\x89PNG", "domain.yaml": b"name: sums\n"}
    made = folder(tmp_path / "out", splits=Splits({"test": 0.3}), files=files, reasoning=reasoning)
    push(made)
    splits = pull("me/sums", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(made[0])
    assert sum(splits.values()) == 50 and list(splits) == ["train", "test"]


def test_a_pull_again_fetches_what_is_new_and_takes_away_what_is_no_more(hub, tmp_path):
    push(folder(tmp_path / "a", splits=Splits({"test": 0.3})))
    pull("me/sums", tmp_path / "back")
    hub.log.clear()
    pull("me/sums", tmp_path / "back")
    assert hub.asked("GET", "/resolve/") == 0
    made = folder(tmp_path / "b", 60)
    push(made)
    assert pull("me/sums", tmp_path / "back") == {"train": 60}
    assert contents(tmp_path / "back") == contents(made[0])


def test_an_interrupted_pull_goes_on(hub, tmp_path):
    made = folder(tmp_path / "out", splits=Splits({"test": 0.3}))
    push(made)
    hub.refusals["GET /datasets/me/sums/resolve"] = []
    commit = hub.repos["me/sums"].oid()
    hub.refusals[f"GET /datasets/me/sums/resolve/{commit}/train.parquet"] = [500] * 30
    with pytest.raises(HubError, match=r"the Hub fails \(500"):
        pull("me/sums", tmp_path / "back")
    assert not (tmp_path / "back" / "train.jsonl").exists()
    hub.refusals.clear()
    hub.log.clear()
    pull("me/sums", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(made[0])
    assert hub.asked("GET", "train.parquet") == 1


def test_folders_that_hold_something_else(hub, tmp_path):
    push(folder(tmp_path / "out"))
    push(folder(tmp_path / "out"), "me/other")
    pull("me/sums", tmp_path / "back")
    with pytest.raises(InputError, match=r"back: this folder holds me/sums; name another one for me/other with --out"):
        pull("me/other", tmp_path / "back")
    with pytest.raises(InputError, match=r"out: there are files that no pull brought; name another folder"):
        pull("me/sums", tmp_path / "out")
    (tmp_path / "back" / ".pulled.json").write_text(json.dumps({"repo": "me/sums", "files": ["../out/README.md"]}))
    pull("me/sums", tmp_path / "back")
    assert (tmp_path / "out" / "README.md").exists()


def test_what_one_may_not_read(hub):
    hub.refusals["GET /api/datasets/them/few"] = [403]
    with pytest.raises(HubError, match=r"them/few: you may not read it \(403: .*\); ask for access on its page"):
        hubs.remote("them/few")


def test_too_little_room(hub, tmp_path, monkeypatch):
    push(folder(tmp_path / "out"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=10))
    with pytest.raises(HubError, match=r"back: me/sums takes 0 MB and 0 MB are free; free space"):
        pull("me/sums", tmp_path / "back")


def test_a_disk_that_fills_up(hub, tmp_path, monkeypatch):
    push(folder(tmp_path / "out"))
    full = OSError(28, "No space left on device", str(tmp_path / "x"))
    monkeypatch.setattr("huggingface_hub.HfApi.snapshot_download", raising(full))
    with pytest.raises(HubError, match=r"x: the disk is full; free space, and the same command again"):
        pull("me/sums", tmp_path / "back")


@pytest.fixture
def datasets(hub, monkeypatch, tmp_path):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.url)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    return datasets


def test_anybodys_dataset_comes_as_lines_of_json(hub, datasets, tmp_path):
    rows = [{"instruction": f"Do {i}", "input": "", "output": "Done."} for i in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    card = b"---\nlicense: mit\n---\n# Theirs\n"
    hub.repos["them/few"] = hub_server.Repo(False, [{"README.md": card, "data/train.jsonl": lines}])
    assert pull("them/few", tmp_path / "few") == {"train": 3}
    assert (tmp_path / "few" / "train.jsonl").read_bytes() == lines
    assert (tmp_path / "few" / "README.md").read_bytes() == card
    several = (
        b"---\nconfigs:\n- config_name: main\n  data_files: a.jsonl\n- config_name: sub\n  data_files: b.jsonl\n---\n"
    )
    hub.repos["them/both"] = hub_server.Repo(False, [{"README.md": several, "a.jsonl": lines, "b.jsonl": lines}])
    assert pull("them/both", tmp_path / "both") == {"main/train": 3, "sub/train": 3}
    assert (tmp_path / "both" / "sub" / "train.jsonl").read_bytes() == lines


def test_a_dataset_that_cannot_be_read_is_one_line(hub, datasets, tmp_path):
    hub.repos["them/bad"] = hub_server.Repo(False, [{"train.jsonl": b"{not json\n"}])
    with pytest.raises(HubError, match="them/bad: ") as caught:
        pull("them/bad", tmp_path / "bad")
    assert "\n" not in str(caught.value)
