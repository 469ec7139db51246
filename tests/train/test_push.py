"""`curate train sft --push`: the model and its card on a Hub on loopback."""

import json
from pathlib import Path

import hub_server
import pytest
from click.testing import CliRunner

import curate
from curate.cli import root
from curate.errors import HubError, InputError

TOKEN = "hf_ThisTokenMustNotBeSeen"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    from huggingface_hub import constants

    with hub_server.serving(**{TOKEN: {"name": "me"}, "hf_reader": {"name": "me", "role": "read"}}) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for name in ("HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_STORED_TOKENS_PATH"):
            monkeypatch.setattr(constants, name, str(tmp_path / "home" / name))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield served


@pytest.fixture(scope="module")
def words(tiny, rows_file, tmp_path_factory):
    """A command that has trained already, so that again it only pushes."""
    out = tmp_path_factory.mktemp("pushed") / "out"
    words = ["train", "sft", str(rows_file), "--model", str(tiny), "--out", str(out), "--steps", "1", "--batch", "8",
             "--samples", "1"]  # fmt: skip
    typed(words)
    return words


def typed(words, *more):
    done = CliRunner().invoke(root, [*words, *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert TOKEN not in done.output
    return done


def test_the_model_and_its_card_are_one_commit_and_only_news_the_next(hub, words, tmp_path):
    from transformers import AutoModelForCausalLM

    out = Path(words[words.index("--out") + 1])
    done = typed(words, "--push", "me/sums")
    assert f"8 files, private, to {hub.url}/me/sums" in done.stderr
    assert f"  hub       {hub.url}/me/sums  (private)" in done.stdout
    repo = hub.repos["me/sums"]
    assert repo.private and len(repo.commits) == 2
    sent = {"README.md", "chat_template.jinja", "config.json", "generation_config.json", "loss.svg",
            "model.safetensors", "tokenizer.json", "tokenizer_config.json"}  # fmt: skip
    assert repo.files.keys() == sent | {".gitattributes"}
    assert {name: repo.files[name] for name in sent} == {name: (out / name).read_bytes() for name in sent}
    assert not [name for name, text in repo.files.items() if str(out.parent).encode() in text]
    for name in sent:
        (tmp_path / name).write_bytes(repo.files[name])
    AutoModelForCausalLM.from_pretrained(tmp_path)

    assert "nothing had changed" in typed(words, "--push", "me/sums").stdout
    assert len(repo.commits) == 2 and hub.asked("PUT", "/lfs/") == 1
    # An older push had another shard, and somebody keeps notes there.
    repo.commits.append({**repo.files, "model-00002-of-00002.safetensors": b"old", "notes.md": b"mine"})
    again = typed(words, "--push", "me/sums", "--json")
    assert json.loads(again.stdout)["pushed"]["changed"] is True
    assert "me/sums has other files, which stay: notes.md" in again.stderr
    assert repo.files.keys() == sent | {".gitattributes", "notes.md"}
    assert hub.asked("PUT", "/lfs/") == 1


def test_public_is_asked_for(hub, words):
    typed(words, "--push", "me/open", "--public", "--quiet")
    assert hub.repos["me/open"].private is False


def test_what_cannot_be_pushed_is_said_before_training(hub, tiny, rows_file, tmp_path, monkeypatch):
    def refused(error, match, **options):
        with pytest.raises(error, match=match):
            curate.train_sft(rows_file, model=tiny, out=tmp_path / "never", quiet=True, **options)
        assert not (tmp_path / "never").exists()

    refused(InputError, r"--public says how a model lies on the Hub; name it with --push USER/NAME", public=True)
    refused(InputError, "'sums' names no owner; a model on the Hub is USER/NAME", push="sums")
    refused(HubError, "you are me, and you is somebody else; you can push to me/", push="you/sums")
    hub.repos["me/open"] = hub_server.Repo(False)
    refused(InputError, "me/open exists and is public, and a push is private unless told", push="me/open")
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    refused(HubError, "the token of me may only read", push="me/sums")
    monkeypatch.delenv("HF_TOKEN")
    refused(HubError, "no token for the Hub: set HF_TOKEN", push="me/sums")


def test_a_push_that_is_cut_off_goes_on(hub, words):
    hub.refusals["POST /api/models/me/sums/commit"] = [400]
    done = CliRunner().invoke(root, [*words, "--push", "me/sums"])
    assert isinstance(done.exception, HubError) and TOKEN not in done.output
    assert len(hub.repos["me/sums"].commits) == 1
    typed(words, "--push", "me/sums")
    assert len(hub.repos["me/sums"].commits) == 2 and hub.asked("PUT", "/lfs/") == 1
