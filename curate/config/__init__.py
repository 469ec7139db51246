"""The domain file: its parts (`schema.py`), reading and writing it (`files.py`), checking it for free (`check.py`)."""

from curate.config.check import check_domain
from curate.config.files import UnknownDomain, domain_from_draft, load_domain, shipped_domains, write_domain
from curate.config.schema import Dedup, Domain, Exam, FieldRules, Judge, ModelSpec, Rouge, Rules, Seed, TaskSpec

__all__ = [
    "Dedup",
    "Domain",
    "Exam",
    "FieldRules",
    "Judge",
    "ModelSpec",
    "Rouge",
    "Rules",
    "Seed",
    "TaskSpec",
    "UnknownDomain",
    "check_domain",
    "domain_from_draft",
    "load_domain",
    "shipped_domains",
    "write_domain",
]
