"""The first start: an account that may sign in, and where its credentials are kept until the operator takes them away.

The credentials are on the disk before the account is made, so a crash in between loses nothing. Never knows policies.
"""

from __future__ import annotations

import base64
import os
import secrets
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

from strongroom.config import Config
from strongroom.iam.identities import Identities, IdentityError, NewAccount, ensure_root
from strongroom.iam.secrets import new_secret
from strongroom.startup import StartError
from strongroom.startup.folder import CREDENTIALS_FILE, write_secret

_ACCESS_KEY_ID: Final = "AWS_ACCESS_KEY_ID"
_SECRET_ACCESS_KEY: Final = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of the variable
_ACCOUNT_ID: Final = "AWS_ACCOUNT_ID"


async def first_account(identities: Identities, config: Config, random: Callable[[int], bytes] = os.urandom) -> NewAccount | None:
    """Make the account "root" if there is no account at all, from the environment's values or random ones; else None.

    Raises StartError for values that no account may have.
    """
    if await identities.accounts():
        return None
    path = config.data_dir / CREDENTIALS_FILE
    chosen = {} if config.root_access_key_id is not None else _read(path)  # of a first start that did not get to its end
    access_key_id = config.root_access_key_id or chosen.get(_ACCESS_KEY_ID) or f"AKIA{base64.b32encode(random(10)).decode()}"
    secret = config.root_secret_access_key or chosen.get(_SECRET_ACCESS_KEY) or new_secret(random)
    account_id = config.account_id or chosen.get(_ACCOUNT_ID) or str(secrets.choice(range(10**11, 10**12)))
    try:
        write_secret(path, _text(access_key_id, secret, account_id), replace=True)
        return await ensure_root(identities, account_id=account_id, access_key_id=access_key_id, secret_access_key=secret)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    except IdentityError as error:
        path.unlink(missing_ok=True)
        raise StartError(f"the first account: {error}") from None


def _text(access_key_id: str, secret_access_key: str, account_id: str) -> bytes:
    lines = (
        "# The root credentials of this Strongroom. Keep them elsewhere and delete this file: the server does not read it again.",
        f"{_ACCESS_KEY_ID}={shlex.quote(access_key_id)}",
        f"{_SECRET_ACCESS_KEY}={shlex.quote(secret_access_key)}",
        f"{_ACCOUNT_ID}={shlex.quote(account_id)}",
    )
    return ("\n".join(lines) + "\n").encode()


def _read(path: Path) -> dict[str, str]:
    try:
        words = shlex.split(path.read_text("utf-8"), comments=True)
    except (OSError, ValueError):
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)
