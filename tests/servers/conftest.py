"""Fixtures of the tests at real servers."""

from __future__ import annotations

import shlex
import uuid
from pathlib import Path

import pytest
from real_servers import HF_ENVIRONMENT, VLLM_ARGS, VLLM_ENVIRONMENT, Shell, interpreter
from tiny import make_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def vllm(tmp_path) -> Shell:
    """`curate` with a vLLM that writes compact JSON: noise would fill its replies with white space."""
    interpreter("CURATE_VLLM_PYTHON", "vllm")
    compact = ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
    environment = {**VLLM_ENVIRONMENT, "CURATE_VLLM_ARGS": shlex.join([*VLLM_ARGS, *compact])}
    return Shell(tmp_path, environment, uuid.uuid4().hex)


@pytest.fixture
def hf(tmp_path) -> Shell:
    interpreter("CURATE_HF_PYTHON", "transformers[serving]")
    return Shell(tmp_path, HF_ENVIRONMENT, uuid.uuid4().hex)
