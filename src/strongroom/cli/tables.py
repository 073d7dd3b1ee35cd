"""Tables for people on a terminal; elsewhere every row stays one line, however long."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

_WIDE: Final = 1000  # columns where nobody looks


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], colours: Mapping[str, str] | None = None) -> None:
    """``colours``: a style for each value of the first column. No cell is read as markup."""
    from rich.console import Console  # here, because a server prints no table and need not wait for it
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None, pad_edge=False)
    for row in rows:
        style = (colours or {}).get(row[0], "")
        table.add_row(Text(row[0], style), *map(Text, row[1:]))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE, color_system=None)
    console.print(table)


def one_line(text: str) -> str:
    """As it is, unless there is something in it that a terminal would not print."""
    return text if text.isprintable() else json.dumps(text, ensure_ascii=False)[1:-1]
