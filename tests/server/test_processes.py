"""Workers that do not come to serve. What they do otherwise: ``test_serving.py``, ``test_tls.py``."""

from __future__ import annotations

import subprocess
import sys
import time

# Each worker ends at once: it compares what it is given, which is all it does.
_FAILING = """
import operator, sys
from strongroom import processes
processes._AGAIN = (0.01, 0.02)
sockets = processes.listening_sockets("127.0.0.1", 0, 1)
processes.Workers(operator.is_, sockets, renew=print, stop_seconds=5).serve()
"""


def test_a_place_whose_workers_fail_to_start_again_and_again_ends_the_server():
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", _FAILING], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    told = ended.stdout + ended.stderr
    assert told.count("a worker died; another takes its place") == 2
    assert told.count("workers keep failing to start") == 1
    assert time.monotonic() - started < 20
