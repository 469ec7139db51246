"""The embedded offline teacher for mathematics: problems made and solved by computer algebra, not a language model.

`Procedural` answers a request from its prompt name and variables alone. `serves` says which domains it can teach;
neither imports sympy until the first request for problems.
"""

from curate.models.procedural.teacher import Procedural, serves

__all__ = ["Procedural", "serves"]
