"""What a decision costs, alone: root without policies, a caller with many, and a cold look at a thousand statements."""

from __future__ import annotations

import json
import timeit
from dataclasses import replace

from strongroom.policy.bucket_documents import read_bucket_policy
from strongroom.policy.decide import Authority, Question, Standing, decide
from strongroom.policy.identity_documents import read_identity_policy
from strongroom.policy.templates import lookup_of

ACCOUNT = "111122223333"
USER = f"arn:aws:iam::{ACCOUNT}:user/ann"
VALUES = lookup_of({"aws:PrincipalTag/team": "red"})


def statement(at: int, **more):
    return {
        "Effect": "Deny" if at % 5 == 0 else "Allow",
        "Action": ["s3:Get*", "s3:PutObject"],
        "Resource": f"arn:aws:s3:::bucket/{at}/*",
        "Condition": {"StringLike": {"aws:PrincipalTag/team": "r*"}},
        **more,
    }


def document(count: int, **more) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement(at, **more) for at in range(count)]})


def best(what, number: int) -> float:
    """Microseconds of one run, at the quietest of five moments."""
    return min(timeit.repeat(what, number=number, repeat=5)) / number * 1e6


def main() -> None:
    owner = Authority(ACCOUNT)
    root, resource = f"arn:aws:iam::{ACCOUNT}:root", "arn:aws:s3:::bucket/7/key"
    print(
        f"root, no policy       {best(lambda: decide(Question(ACCOUNT, root, False, 's3:GetObject', resource, owner)), 100_000):9.2f} µs"
    )

    ten = tuple(read_identity_policy(document(20), f"p{at}") for at in range(10))
    fifty = Authority(ACCOUNT, (read_bucket_policy(document(50, Principal={"AWS": USER}), "bucket"),))
    busy = Question(ACCOUNT, USER, False, "s3:GetObject", resource, fifty, Standing(ten), VALUES)
    print(f"10 by 20 and 50, warm  {best(lambda: decide(busy), 2_000):9.2f} µs")

    def cold() -> None:
        fresh = Standing(tuple(replace(one) for one in thousand))  # nothing remembered
        decide(question._replace(standing=fresh))

    thousand = tuple(read_identity_policy(document(100), f"p{at}") for at in range(10))
    question = Question(ACCOUNT, USER, False, "s3:GetObject", resource, owner, Standing(thousand), VALUES)
    print(f"1,000 statements, cold{best(cold, 20):9.2f} µs")
    print(f"1,000 statements, warm{best(lambda: decide(question), 200):9.2f} µs")
    print(f"reading 100 of them   {best(lambda: read_identity_policy(document(100), 'p'), 5):9.2f} µs")


if __name__ == "__main__":
    main()
