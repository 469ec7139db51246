"""Models by spec, and the engine that asks them: concurrency, limits, retries, the ledger and the budget."""

from curate.models.accounts import Account, Stats
from curate.models.base import Exchange, Model, ModelOptions
from curate.models.budget import Budget
from curate.models.engine import Engine
from curate.models.jobs import Outcome
from curate.models.ledger import Ledger, Total
from curate.models.scripted import ScriptedModel
from curate.models.specs import SCHEMES, open_model

__all__ = [
    "SCHEMES",
    "Account",
    "Budget",
    "Engine",
    "Exchange",
    "Ledger",
    "Model",
    "ModelOptions",
    "Outcome",
    "ScriptedModel",
    "Stats",
    "Total",
    "open_model",
]
