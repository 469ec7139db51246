"""Is the final answer right, as mathematics."""

from curate.verify.answers import equivalent, final_answer, majority
from curate.verify.checker import MathChecker, VerdictCache
from curate.verify.verdicts import check_gold, check_votes

__all__ = ["MathChecker", "VerdictCache", "check_gold", "check_votes", "equivalent", "final_answer", "majority"]
