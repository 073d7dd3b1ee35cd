"""Terraform (or OpenTofu) and its AWS provider: apply, a plan without a difference, a change of everything, a new name, destroy.

It takes minutes, and a provider that not every machine can fetch: only when it is asked for (``make terraform``).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.clients.house import OWNER, refused, unique
from tests.clients.setups import run_shell
from tests_clients.house import Program

MAIN = Path(__file__).parent / "terraform" / "main.tf"
ALL = 20  # resources in it


class Terraform(Program):
    """In the folder of its configuration; the words that every command needs are added."""

    def plan(self, **variables: object) -> int:
        """0: nothing to do, 2: something."""
        done = self._run(("plan", "-detailed-exitcode", "-input=false", *_words(variables)), b"")
        assert done.returncode in {0, 2}, (done.stdout + done.stderr).decode()[-3000:]
        return done.returncode

    def apply(self, **variables: object) -> str:
        return self("apply", "-auto-approve", "-input=false", *_words(variables))

    def destroy(self, **variables: object) -> str:
        return self("destroy", "-auto-approve", "-input=false", *_words(variables))


def _words(variables):
    return [f"-var={name}={value}" for name, value in variables.items()]


@pytest.fixture
def terraform(request, find, server, environ, tmp_path):
    name = next((one for one in ("tofu", "terraform") if one in request.config.getoption("--require")), None)
    if name is None:
        pytest.skip("it takes minutes: make terraform")
    path = find(name, "https://developer.hashicorp.com/terraform/install")
    given = {one: value for one, value in os.environ.items() if one.startswith("TF_")}
    shutil.copy(MAIN, tmp_path)
    environ = run_shell("Terraform", server, environ | given | {"PATH": f"{Path(path).parent}:{environ['PATH']}"})
    return Terraform(path, environ | {"TF_IN_AUTOMATION": "1", "TF_CLI_ARGS": "-no-color"}, tmp_path, 280)


@pytest.mark.timeout(900)
def test_everything_from_apply_to_destroy(terraform, server, s3):
    prefix = unique("tf")
    steps = [
        {"prefix": prefix},
        {"prefix": prefix, "team": "red", "action": "s3:PutObject", "versioning": "Suspended", "session_seconds": 3600},
    ]
    steps.append(steps[-1] | {"name": "post"})  # by itself: the provider tags a user under its new name before it has it
    for number, step in enumerate(steps):
        said = terraform.apply(**step)
        if number == 0:
            assert f"Resources: {ALL} added, 0 changed, 0 destroyed" in said
        assert terraform.plan(**step) == 0
    iam, kms = server.client("iam"), server.client("kms")
    assert json.loads(terraform("output", "-json"))["account_id"]["value"] == OWNER
    assert iam.get_user(UserName=f"{prefix}-post")["User"]["Tags"] == [{"Key": "team", "Value": "red"}]
    key = kms.describe_key(KeyId=f"alias/{prefix}")["KeyMetadata"]
    head = s3.head_object(Bucket=prefix, Key="one")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"], head["BucketKeyEnabled"]) == ("aws:kms", key["Arn"], True)
    iam.tag_user(UserName=f"{prefix}-post", Tags=[{"Key": "team", "Value": "green"}])
    assert terraform.plan(**steps[-1]) == 2  # what somebody else changes is seen
    assert f"{ALL} destroyed" in terraform.destroy(**steps[-1])
    assert refused(s3.head_bucket, Bucket=prefix).status == 404
    assert refused(iam.get_role, RoleName=prefix).code == "NoSuchEntity"
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
