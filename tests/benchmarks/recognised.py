"""How many architectures are found from bare weights, how often wrongly, and how fast.

python tests/benchmarks/recognised.py
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bare_networks import CASES, shapes_of_case, verdict
from napari_tileseg.models.recognise import recognise
from written_unets import STYLES, Written


def _judged(name: str, arguments: dict, shapes: dict) -> tuple[str, float]:
    start = time.perf_counter()
    found = recognise(shapes)
    return verdict(found, name, arguments), time.perf_counter() - start


def main() -> int:
    """Print what is not right, how many are, and the slowest time."""
    cases = [(name, arguments, shapes_of_case(name, arguments)) for name, arguments in CASES]
    for style in STYLES.values():
        shapes = {key: tuple(one.shape) for key, one in Written(style).state_dict().items()}
        cases.append(("scratch-unet", {"in_channels": 2, "classes": 3}, shapes))
    recognise(cases[0][2])  # what is imported once is not theirs
    judged = [(name, arguments, *_judged(name, arguments, one)) for name, arguments, one in cases]
    counts = Counter(end for _, _, end, _ in judged)
    for name, arguments, end, seconds in judged:
        if end != "right" or seconds > 1:
            sys.stdout.write(f"{end}: {name} {arguments} {seconds:.2f} s\n")
    slowest = max(seconds for *_, seconds in judged)
    share = counts["right"] / len(judged)
    sys.stdout.write(
        f"{len(judged)} networks: {share:.1%} right ({dict(counts)}); slowest {slowest:.2f} s\n"
    )
    return 0 if share >= 0.98 and not counts["wrong"] and slowest <= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
