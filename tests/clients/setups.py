"""The set-ups that docs/clients.md shows, run as they stand there: only address, credentials, bucket and data folder are others.

So what the page tells people to type is what the tests have typed. Knows nothing of any client.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.house import Server

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS, DATA, BUCKET = "127.0.0.1:9000", "/srv/strongroom", re.compile(r"\bletters\b")
ACCESS_KEY_ID, SECRET_ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@dataclass(frozen=True)
class SetUp:
    language: str
    code: str


def read_page() -> dict[str, SetUp]:
    """By heading. A section has one block, and no more."""
    found = {}
    for section in PAGE.read_text("utf-8").split("\n## ")[1:]:
        ((language, code),) = BLOCK.findall(section)
        found[section.partition("\n")[0]] = SetUp(language, code)
    return found


def _block(name: str, server: Server, bucket: str, language: str) -> str:
    block = read_page()[name]
    assert block.language == language
    code = BUCKET.sub(bucket, block.code)
    for shown, ours in (
        (ADDRESS, f"127.0.0.1:{server.port}"),
        (DATA, str(server.data)),
        (ACCESS_KEY_ID, server.owner.access_key_id),
        (SECRET_ACCESS_KEY, server.owner.secret_access_key),
    ):
        code = code.replace(shown, ours)
    return code


def run_shell(name: str, server: Server, environ: Mapping[str, str], bucket: str = "letters") -> dict[str, str]:
    """Runs the block in its HOME; the environment afterwards, in which a command goes on."""
    end = "\nexec env -0"
    done = subprocess.run(
        ["sh", "-euc", _block(name, server, bucket, "sh") + end],
        env=dict(environ),
        cwd=environ["HOME"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *_, last = done.stdout.rpartition("\n")  # what the commands have printed ends with a line
    after = dict(each.split("=", 1) for each in last.split("\0") if each)
    return {key: value for key, value in after.items() if key not in {"_", "PWD", "OLDPWD", "SHLVL"}}


def run_python(name: str, server: Server, bucket: str, **given: Any) -> dict[str, Any]:
    """Runs the block where the process stands; what it has named."""
    names = dict(given)
    exec(compile(_block(name, server, bucket, "python"), f"{PAGE.name}: {name}", "exec"), names)  # noqa: S102 - our own page
    return names
