"""A teacher for the tests of the command line: sound samples, some that a filter drops, and a task that steers."""

from __future__ import annotations

import json
import random

WORDS = (  # noqa: SIM905 (a word a line would hide the rest)
    "apple river window garden letter bridge music paper kitchen doctor winter summer morning teacher village market "
    "engine forest island mountain ocean planet rocket silver golden copper castle temple valley desert harbor anchor "
    "basket candle blanket pillow mirror ladder hammer needle button ribbon jacket pocket wallet ticket parcel stamp "
    "camera guitar violin trumpet piano drum flute singer dancer writer poet painter sailor farmer baker butcher "
    "carpenter plumber lawyer judge police soldier captain pilot driver nurse patient hospital school college library "
    "museum theater cinema stadium airport station railway highway tunnel corner street avenue square market tower"
).split()


def sentence(rng: random.Random) -> str:
    return f"Explain how {' '.join(rng.choice(WORDS) for _ in range(14))} matter."


def sample(rng: random.Random, number: int) -> dict[str, str]:
    instruction = sentence(rng)
    if number == 3:
        instruction = "Draw a picture \x1b[31mof the house\x9b0m."
    return {"instruction": instruction, "input": "", "output": sentence(rng)}


def reply(request):
    rng = random.Random(f"{request.prompt}{request.attempt}")
    count = request.variables.get("count", 1)
    if request.prompt == "generate/samples":
        if request.attempt.endswith("/1"):
            return "I would \x1b]0;owned\x07rather not."
        return json.dumps({"samples": [sample(rng, number) for number in range(count)]})
    if request.prompt == "repair":
        return "Still \x1b[2Jnot."
    if request.prompt.startswith("explore/") and "path" in request.variables:
        names = [f"{rng.choice(WORDS)} \x1b[31mand\x07 {rng.choice(WORDS)} {rng.random():.6f}" for _ in range(count)]
        examples = [sample(rng, 0), sample(rng, 0)]
        return json.dumps({"tasks": [{"name": name, "reason": sentence(rng), "examples": examples} for name in names]})
    return json.dumps({"same": 0, "why": "they differ"})
