"""``make fuzz``: coverage-guided fuzzing of every target in turn, each in a process of its own and for a bounded time.

    make fuzz                                   20 seconds a target
    make fuzz FUZZ="--seconds 300 --only xml"   as long as you like

What was found stays in ``fuzz/corpus/<target>`` and is where the next run begins. Exit status 1 when a property did not hold; the
input that broke it is then in ``fuzz/crashes``.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
CORPUS: Final = HERE / "corpus"  # not kept in git
CRASHES: Final = HERE / "crashes"
LONGEST: Final = 1 << 17  # bytes of an input
MEMORY: Final = 2048  # MiB


def main() -> int:
    sys.path.insert(0, str(HERE))
    import atheris

    with atheris.instrument_imports(include=["strongroom"]):
        import targets

    parser = argparse.ArgumentParser(
        prog="fuzz/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=20, metavar="N", help="for each target (default 20)")
    parser.add_argument("--only", action="append", choices=sorted(targets.TARGETS), metavar="NAME", help="may be repeated")
    parser.add_argument("--inside", choices=sorted(targets.TARGETS), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside is None:
        names = chosen.only or list(targets.TARGETS)
        return max(_in_a_process(name, chosen.seconds, list(targets.seeds(name))) for name in names)
    flags = ["-print_final_stats=1", f"-max_total_time={chosen.seconds}", f"-max_len={LONGEST}", f"-rss_limit_mb={MEMORY}"]
    flags += ["-timeout=10", f"-artifact_prefix={CRASHES}/{chosen.inside}-", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *flags, str(CORPUS / chosen.inside)], targets.TARGETS[chosen.inside])
    atheris.Fuzz()
    return 0


def _in_a_process(name: str, seconds: int, seeds: list[bytes]) -> int:
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    CRASHES.mkdir(exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    command = [sys.executable, str(HERE / "run.py"), "--inside", name, "--seconds", str(seconds)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120, check=False)
    runs = next((line.split()[-1] for line in ran.stderr.splitlines() if "number_of_executed_units" in line), "?")
    print(f"{name}: {'held' if not ran.returncode else 'BROKEN'} over {runs} inputs in {seconds} s", flush=True)
    if ran.returncode:
        print(ran.stdout[-2000:], ran.stderr[-4000:], sep="\n", flush=True)
    return int(ran.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
