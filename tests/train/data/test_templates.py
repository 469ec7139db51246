from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.errors import InputError
from curate.train.data.templates import MARK, TemplateRefusal, find_template, shipped_templates


def test_the_shipped_templates() -> None:
    assert shipped_templates() == ["alpaca", "chatml", "gemma", "llama-3", "mistral", "qwen", "vicuna"]


def test_the_models_own_template_is_taken(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer("{{ bos_token }}{{ messages[0].content }}")
    assert find_template(None, tokenizer).render([{"role": "user", "content": "Q"}]) == "<s>Q"
    tokenizer.chat_template = {"default": "{{ messages[0].content }}!", "tool_use": "x"}
    assert find_template(None, tokenizer).render([{"role": "user", "content": "Q"}]) == "Q!"


def test_a_model_without_a_template(make_tokenizer: Callable[..., Any]) -> None:
    with pytest.raises(InputError) as error:
        find_template(None, make_tokenizer())
    assert str(error.value) == (
        "the model's tokenizer has no chat template, as base models have none; choose one with --template: alpaca, "
        "chatml, gemma, llama-3, mistral, qwen, vicuna, or a file"
    )


def test_a_template_from_a_file(make_tokenizer: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_text("{{ messages[0].content }}{{ eos_token }}")
    assert find_template(str(file), make_tokenizer()).render([{"role": "user", "content": "Q"}]) == "Q</s>"
    file.write_text("one\n{% if %}")
    with pytest.raises(InputError, match=r"own\.jinja:2: not a chat template \("):
        find_template(str(file), make_tokenizer())
    with pytest.raises(InputError, match="--template lama-3: neither a file nor one of alpaca, chatml"):
        find_template("lama-3", make_tokenizer())


def test_a_token_that_the_model_does_not_have_is_empty(make_tokenizer: Callable[..., Any]) -> None:
    template = find_template("llama-3", make_tokenizer(bos_token=None))
    assert template.render([{"role": "user", "content": " Q "}], prompt=True) == (
        "<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_what_templates_may_use(make_tokenizer: Callable[..., Any]) -> None:
    def rendered(text: str) -> str:
        return find_template(None, make_tokenizer(text)).render([{"role": "user", "content": "<é>"}])

    assert rendered("{{ messages | tojson }}") == '[{"role": "user", "content": "<é>"}]'
    assert rendered("{{ strftime_now('%d %b %Y') }}") == "26 Jul 2024"
    assert rendered("{% for m in [1, 2, 3] %}{% if m == 2 %}{% break %}{% endif %}{{ m }}{% endfor %}") == "1"
    assert rendered("a{% generation %}b{% endgeneration %}c") == f"a{MARK}b{MARK}c"
    assert rendered("{{ tools is none }}{{ documents is none }}") == "TrueTrue"


@pytest.mark.parametrize(
    "text",
    [
        "{{ raise_exception('no') }}",
        "{{ messages[3].content.upper() }}",
        "{{ 1 + 'one' }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",  # templates come with models and are not trusted
        "{{ messages.append(1) }}",
    ],
)
def test_a_template_that_raises(make_tokenizer: Callable[..., Any], text: str) -> None:
    with pytest.raises(TemplateRefusal):
        find_template(None, make_tokenizer(text)).render([{"role": "user", "content": "Q"}])
