"""The same for every test, wherever it runs: no credentials, settings or proxies of the machine, and fixed examples."""

from __future__ import annotations

import os

from hypothesis import settings

for _name in [name for name in os.environ if name.startswith(("AWS_", "STRONGROOM_"))]:
    del os.environ[_name]
os.environ |= {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1,localhost,::1",
    "no_proxy": "127.0.0.1,localhost,::1",
}

settings.register_profile("strongroom", derandomize=True, database=None, deadline=None, max_examples=100)
settings.load_profile("strongroom")
