"""The embedded offline teacher for mathematics: problems made and solved by computer algebra, not a language model.

`Procedural` answers a request from its prompt name and variables alone. `serves` says which domains it can teach;
neither imports sympy until the first request for problems.

To add a form of problem: a function in `maths/` that returns its facts, its name in that module's `KINDS`, and a
section of that name in `words/en/` (and `words/zh/`) with the ways to ask and the worked solution. A new kind is also
named in `words/tree.txt`.
"""

from curate.models.procedural.teacher import Procedural, serves

__all__ = ["Procedural", "serves"]
