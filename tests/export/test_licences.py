"""Licences of the Hub, and what is known of the terms of models."""

import re

import pytest
import yaml

from curate.errors import InputError
from curate.export import licences
from curate.export.licences import check_licence, terms_as_of, terms_of


def test_the_hubs_own_spelling():
    assert check_licence(" Apache-2.0 ") == "apache-2.0"
    assert licences.licences()["cc-by-4.0"] == "Creative Commons Attribution 4.0"
    assert set(licences.COMMON) < set(licences.licences())


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("apache2", "did you mean apache-2.0?"),
        ("Apache License 2.0", "did you mean apache-2.0"),
        ("cc-by", "cc-by-4.0"),
        ("", "common ones are apache-2.0, mit"),
        ("none of your business", "common ones are"),
    ],
)
def test_the_nearest_is_suggested(given, near):
    with pytest.raises(InputError, match="the Hub knows no licence") as caught:
        check_licence(given)
    assert near in str(caught.value)


@pytest.mark.parametrize(
    ("model", "terms"),
    [
        ("procedural-1", "none"),
        ("gpt-5-mini", "OpenAI's terms of service"),
        ("openai/gpt-oss-120b", "Apache-2.0"),
        ("o3", "OpenAI's terms of service"),
        ("claude-sonnet-4", "Anthropic's commercial terms of service"),
        ("gemini-2.5-flash", "Gemini API additional terms of service"),
        ("google/gemma-2-9b-it", "Gemma terms of use"),
        ("google/gemma-4-31b-it", "Apache-2.0"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "Llama 2 or Llama 3 community licence"),
        ("meta-llama/Llama-3.1-8B-Instruct", "Llama 3.1 to 4 community licence"),
        ("llama3.2:1b", "Llama 3.1 to 4 community licence"),
        ("llama-3-8b", "Llama 2 or Llama 3 community licence"),
        ("Qwen/Qwen3-8B", "Apache-2.0"),
        ("Qwen/Qwen2.5-7B-Instruct", "Apache-2.0"),
        ("Qwen/Qwen2.5-72B-Instruct", "Qwen licence agreement"),
        ("deepseek-ai/DeepSeek-R1", "MIT for the weights"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "MIT, and the licence of the Llama model it is derived from"),
        ("microsoft/phi-4", "MIT"),
    ],
)
def test_the_terms_of_well_known_models(model, terms):
    found = terms_of(model)
    assert found is not None and found.terms == terms


@pytest.mark.parametrize("model", ["", "my-model", "scripted:teacher.py", "qwen-max", "qwen3-max", "org/judge_1"])
def test_of_other_models_nothing_is_known(model):
    assert terms_of(model) is None


def test_the_notes_are_dated_and_each_says_where_it_stands():
    text = (licences.Path(licences.__file__).with_name("model_terms.yaml")).read_text(encoding="utf-8")
    entries = yaml.safe_load(text)["models"]
    assert re.fullmatch(r"20\d\d-\d\d", terms_as_of())
    assert all(entry["url"].startswith("https://") for entry in entries[1:]) and "url" not in entries[0]
    assert all(entry["note"].strip().endswith(".") for entry in entries)
