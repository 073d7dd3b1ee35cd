"""A counter that all processes on a data folder share by memory: what caches compare.

Never knows what changed. It is odd while a change is being committed; then every reading is a fresh number that never comes again,
so nothing read meanwhile can be taken for current later, not even when the committing process dies in between. Only the
process whose turn it is to write may change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.store.shared_words import SharedWords

if TYPE_CHECKING:
    from pathlib import Path


class Generation:
    """Open while holding the turn."""

    def __init__(self, path: Path) -> None:
        self._shared = SharedWords(path, 1)
        self._number = self._shared.words
        self._never_again = 0
        self.settle()
        self.begin()
        self.end()

    def read(self) -> int:
        """The generation; takes well under a microsecond."""
        number = self._number[0]
        if number & 1:
            self._never_again -= 1
            return self._never_again
        return number

    def settle(self) -> int:
        """The generation, for whoever has the turn; mends what a process left that died during a change."""
        self._number[0] += self._number[0] & 1
        return self._number[0]

    def begin(self) -> None:
        """A change is about to be committed; after ``settle`` in the same turn."""
        self._number[0] += 1

    def end(self) -> None:
        """The change has been committed, or was not."""
        self._number[0] += 1

    def close(self) -> None:
        self._shared.close()
