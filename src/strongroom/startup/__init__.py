"""What has to be true before a server starts: its data folder, its root key, a self-test, and somebody who may sign in.

Never knows HTTP, workers or what the rooms do with what is checked here.
"""

from __future__ import annotations

from datetime import UTC, datetime


class StartError(Exception):
    """Why the server does not start: one line for the operator, without any secret."""


def now() -> datetime:
    return datetime.now(UTC)
