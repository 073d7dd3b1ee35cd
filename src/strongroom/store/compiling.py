"""``python -m strongroom.store.compiling``: writes ``sqlite_texts.py``, what SQLite is given, to standard output.

Run by ``make docs``; a test holds the module to what this writes. Never knows a connection.
"""

from __future__ import annotations

import dataclasses
import json
import sys

from sqlalchemy.dialects import sqlite

from strongroom.store.schema import ddl
from strongroom.store.statements import compile_statements

_HEAD = '''"""What SQLite is given, as ``compiling`` wrote it from ``schema`` and ``statements``. Change those, then run ``make docs``."""

# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from typing import Final

from strongroom.store.texts import Statements

'''


def sqlite_module() -> str:
    """The source text of ``sqlite_texts``."""
    dialect = sqlite.dialect()
    lines = ["#: The statements that make each table with its indexes, in order."]
    lines.append("TABLES: Final[dict[str, tuple[str, ...]]] = {")
    for table, made_by in ddl(dialect).items():
        lines += [f"    {json.dumps(table)}: (", *(f"        {_literal(text)}," for text in made_by), "    ),"]
    lines += ["}", "", "STATEMENTS: Final = Statements("]
    texts = dataclasses.asdict(compile_statements(dialect))
    lines += [f"    {name}={_literal(text)}," for name, text in texts.items()]
    return _HEAD + "\n".join([*lines, ")"]) + "\n"


def _literal(text: str) -> str:
    return json.dumps(" ".join(text.split()))


if __name__ == "__main__":
    sys.stdout.write(sqlite_module())
