"""Every shipped domain and prompt loads, renders and keeps its own rules."""

from __future__ import annotations

import pytest

from curate.config import check_domain, load_domain, shipped_domains
from curate.prompt import load_prompt, prompt_names


@pytest.mark.parametrize("name", shipped_domains())
def test_every_shipped_domain_loads_and_renders_every_prompt(name):
    domain = load_domain(name)
    assert domain.name == name
    assert check_domain(domain) == []


@pytest.mark.parametrize("name", prompt_names())
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_shipped_prompt_has_a_chinese_variant(name, language):
    suffix = ".zh.j2" if language == "zh" else ".j2"
    assert load_prompt(name, language).path.name == name.split("/")[-1] + suffix
