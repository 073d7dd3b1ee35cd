"""``python -m strongroom``, and the command ``strongroom``.

Every worker process imports the module that its parent was started by: this one, so that it costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys


def _import_structlog() -> None:
    """Without rich, by which structlog shows tracebacks on a terminal: a tenth of a server's start, where nobody looks."""
    if sys.stderr.isatty() or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # for the import system: there is no such module
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


def main() -> None:
    from strongroom.cli.main import main as command

    command()


_import_structlog()
if __name__ == "__main__":
    main()
