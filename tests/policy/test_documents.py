"""What a document must be before it is kept: faults in their order, each with its text (C23, C40 to C44, C49 to C52, A58 to A63)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.policy.bucket_documents import MOST_BYTES, read_bucket_policy
from strongroom.policy.faults import Fault, InvalidPolicy, Kind, invalid_principal
from strongroom.policy.identity_documents import counted_size, read_identity_policy, read_trust_policy
from strongroom.policy.key_documents import read_key_policy
from tests.policy.asking import KEY, ROLE, USER, A, says, text

READ = says(Principal="*")


def refusal(document: str) -> tuple[str, str | None]:
    with pytest.raises(InvalidPolicy) as refused:
        read_bucket_policy(document, "bucket")
    return str(refused.value), refused.value.detail


def without(element: str) -> str:
    return text({name: value for name, value in READ.items() if name != element})


def condition(operator: str, key: str, value: Any, action: Any = "s3:PutObject") -> str:
    return text(says(action=action, Principal="*", Condition={operator: {key: value}}))


FIRST_BYTE = "Policies must be valid JSON and the first byte must be '{'"
BROKEN = "This policy contains invalid Json"
SYNTAX = "Invalid policy syntax."
MISFIT = "Conditions do not apply to combination of actions and resources in statement"


@pytest.mark.fact("C40")
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", FIRST_BYTE),
        ("[]", FIRST_BYTE),
        ("policy", FIRST_BYTE),
        (" {}", FIRST_BYTE),
        ("\ufeff{}", FIRST_BYTE),
        ("\u200b{}", FIRST_BYTE),
        ("{", BROKEN),
        ('{"Version": }', BROKEN),
        ('{"Version":"2012-10-17"} x', BROKEN),
        ('{"Version":"2012-10-17","Version":"2012-10-17"}', BROKEN),
        ('{"Statement":{"Effect":"Deny","Effect":"Allow"}}', BROKEN),
        ('{"Version":"2012-10-17\n"}', BROKEN),
        ('{"Id":NaN}', BROKEN),
        ('{"Id":"\\ud800"}', BROKEN),
        ('{"Id":' + "[" * 100_000, BROKEN),
        ('{"Id":' + "[" * 100_000 + "]" * 100_000 + "}", BROKEN),
        ('{"Version":"2012-10-17"}', "Missing required field Statement"),
        ('{"Version":"2012-10-17","Statement":[]}', "Could not parse the policy: Statement is empty!"),
        (text(READ, version="2012-10-18"), "The policy must contain a valid version string"),
        (text(READ, version="2012-10-17 "), "The policy must contain a valid version string"),
        ('{"Version":20121017,"Statement":[]}', "The policy must contain a valid version string"),
        ('{"Version":["2012-10-17"],"Statement":[]}', "The policy must contain a valid version string"),
        ('{"Version":"2012-10-17","Statement":"x"}', SYNTAX),
        ('{"Version":"2012-10-17","Statement":["x"]}', SYNTAX),
        ('{"Version":"2012-10-17","Statement":null}', SYNTAX),
        ('{"Version":"2012-10-17","Statements":[]}', SYNTAX),
        ('{"Version":"2012-10-17","Id":{},"Statement":[]}', SYNTAX),
        (text(says(Principal=USER)), SYNTAX),  # C9
        (text(says(Principal=["*"])), SYNTAX),
        (text(says(Principal={"AWS": {}})), SYNTAX),
        (text(says(Principal={"Everyone": "*"})), SYNTAX),
        (text(says(Principal="*", Actions="s3:GetObject")), SYNTAX),
        (text(says("allow", Principal="*")), SYNTAX),
        (text(says(["Allow"], Principal="*")), SYNTAX),  # type: ignore[arg-type]
        (text(says(action=1, Principal="*")), SYNTAX),
        (text(says(action=[["s3:GetObject"]], Principal="*")), SYNTAX),
        (text(says(resource=None, Principal="*")), SYNTAX),
        (text(says(Principal="*", Sid=7)), SYNTAX),
        (text(says(Principal="*", Condition=[])), SYNTAX),
        (text(says(Principal="*", Condition={"StringEquals": "x"})), SYNTAX),
        (text(says(Principal="*", Condition={"StringEquals": {"aws:x": None}})), SYNTAX),
        (text(says(Principal="*", Condition={"StringEquals": {"aws:x": [["x"]]}})), SYNTAX),
        (without("Effect"), "Missing required field Effect"),
        (without("Principal"), "Missing required field Principal"),
        (text(says(Principal={})), "Missing required field Principal cannot be empty!"),
        (text(says(Principal={"AWS": []})), "Missing required field Principal cannot be empty!"),
        (without("Action"), "Missing required field Action"),
        (without("Resource"), "Missing required field Resource"),
        (condition("stringequals", "aws:username", "x"), "Invalid Condition type : stringequals"),
        (condition("StringEqualsIfexists", "aws:username", "x"), "Invalid Condition type : StringEqualsIfexists"),
        (condition("ForAllValue:StringEquals", "aws:username", "x"), "Invalid Condition type : ForAllValue:StringEquals"),
        (condition("StringEquals\u200b", "aws:username", "x"), "Invalid Condition type : StringEquals\u200b"),
        (condition("StringEquals", "s3:x-amz-nothing", "x"), "Policy has an invalid condition key"),
        (condition("StringEquals", "s3:ExistingObjectTag", "x"), "Policy has an invalid condition key"),
        (condition("StringEquals", "s3:ExistingObjectTag/", "x", "s3:GetObject"), "Policy has an invalid condition key"),
        (condition("StringEquals", "kms:ViaService", "x"), "Policy has an invalid condition key"),
        (condition("StringEquals", "username", "x"), "Policy has an invalid condition key"),
        (condition("StringEquals", "s3:prefix", "x"), MISFIT),
        (condition("StringEquals", "s3:x-amz-acl", "private", ["s3:PutObject", "s3:GetObject"]), MISFIT),  # C41
        (condition("IpAddress", "aws:SourceIp", "127.0.0.*"), "Invalid IP address in Conditions"),
        (condition("IpAddress", "aws:SourceIp", ["10.0.0.1", "10.0.0.256"]), "Invalid IP address in Conditions"),
        (condition("NotIpAddress", "aws:SourceIp", "10.0.0.0/33"), "Invalid IP address in Conditions"),
        (condition("IpAddress", "aws:SourceIp", "fe80::1%eth0"), "Invalid IP address in Conditions"),
        (condition("IpAddress", "aws:SourceIp", ""), "Invalid IP address in Conditions"),
        (condition("BinaryEquals", "aws:x", "YQ="), "Invalid Base64 value for binary condition"),
        (condition("BinaryEquals", "aws:x", "Y Q=="), "Invalid Base64 value for binary condition"),
        (condition("Null", "aws:username", "perhaps"), SYNTAX),
    ],
)
def test_c40_faults_without_a_detail(document: str, message: str):
    assert refusal(document) == (message, None)


@pytest.mark.fact("C40")
@pytest.mark.parametrize(
    ("document", "message", "detail"),
    [
        (text(says(action="s3:Fly", Principal="*")), "Policy has invalid action", "s3:Fly"),
        (text(says(action=["s3:GetObject", "s3:Fly*"], Principal="*")), "Policy has invalid action", "s3:Fly*"),
        (text(says(action="s3:CreateBucket", Principal="*")), "Policy has invalid action", "s3:CreateBucket"),
        (text(says(action="s3:ListAllMyBuckets", Principal="*")), "Policy has invalid action", "s3:ListAllMyBuckets"),
        (text(says(action="iam:*", Principal="*")), "Policy has invalid action", "iam:*"),
        (text(says(action="s3:GetObject\u200b", Principal="*")), "Policy has invalid action", "s3:GetObject\u200b"),
        (text(says(action="", Principal="*")), "Policy has invalid action", ""),
        (text(says(resource="arn:aws:s3:::other/*", Principal="*")), "Policy has invalid resource", "arn:aws:s3:::other/*"),
        (text(says(resource="arn:aws:s3:::bucket2/*", Principal="*")), "Policy has invalid resource", "arn:aws:s3:::bucket2/*"),
        (text(says(resource="arn:aws:s3:::*", Principal="*")), "Policy has invalid resource", "arn:aws:s3:::*"),
        (text(says(resource="*", Principal="*")), "Policy has invalid resource", "*"),
        (text(says(resource="bucket/*", Principal="*")), "Policy has invalid resource", "bucket/*"),
        (
            text(says(resource="arn:aws:s3:::bucket", Principal="*")),
            "Action does not apply to any resource(s) in statement",
            'Action "s3:GetObject" in Statement "NO_ID-0"',
        ),
        (
            text(READ, says(action="s3:ListBucket", Principal="*", Sid="List them")),
            "Action does not apply to any resource(s) in statement",
            'Action "s3:ListBucket" in Statement "List them"',
        ),
        (text(says(Principal={"AWS": "nobody"})), "Invalid principal in policy", '"AWS" : "nobody"'),
        (text(says(Principal={"AWS": [USER, ""]})), "Invalid principal in policy", '"AWS" : ""'),
        (text(says(Principal={"Service": "*"})), "Invalid principal in policy", '"Service" : "*"'),
        (text(says(Principal={"CanonicalUser": "x"})), "Invalid principal in policy", '"CanonicalUser" : "x"'),
    ],
)
def test_c40_faults_with_a_detail(document: str, message: str, detail: str):
    assert refusal(document) == (message, detail)


@pytest.mark.fact("C7")
@pytest.mark.parametrize(
    "principal",
    [
        f"arn:aws:iam::{A}:user/*",
        f"arn:aws:iam::{A}:group/readers",
        f"arn:aws:sts::{A}:assumed-role/reader/*",
        f"arn:aws:iam::{A}:*",
        "arn:aws:iam::*:root",
        f"arn:aws:iam::{A}:user/",
        f"arn:aws:iam::{A}:root/",
        f"arn:aws:iam::{A}:user/ann\n",
        f"arn:aws:iam::{A}:user/an\u200bn",
        f"{A}1",
        "١١١١٢٢٢٢٣٣٣٣",
        "**",
    ],
)
def test_c7_groups_and_partial_wildcards_are_no_principals(principal: str):
    assert refusal(text(says(Principal={"AWS": principal})))[0] == "Invalid principal in policy"


@pytest.mark.fact("C40")
def test_c40_faults_are_told_in_their_order():
    """Each of these documents has every fault that comes later, too."""
    worst: dict[str, Any] = {"Principal": {"AWS": "nobody"}, "Action": "s3:Fly", "Resource": "*", "Condition": {"X": {"y": "z"}}}
    steps = [
        (lambda: json.dumps({"Version": "x", "Statement": []}), "The policy must contain a valid version string"),
        (lambda: text(worst), "Missing required field Effect"),
        (lambda: text(worst | {"Effect": "Allow"}), "Invalid principal in policy"),
        (lambda: text(worst | {"Effect": "Allow", "Principal": "*"}), "Policy has invalid action"),
        (lambda: text(worst | {"Effect": "Allow", "Principal": "*", "Action": "s3:Get*"}), "Policy has invalid resource"),
        (lambda: text(worst | READ), "Invalid Condition type : X"),
    ]
    for document, message in steps:
        assert refusal(document())[0] == message


@pytest.mark.fact("C40")
def test_c40_the_size_is_of_the_document_without_white_space():
    statement = says(Principal="*", Sid="x")
    room = MOST_BYTES - len(json.dumps(json.loads(text(statement)), separators=(",", ":")).encode())
    largest = says(Principal="*", Sid="x" * (room + 1))
    padded = json.dumps(json.loads(text(largest)), indent=8)
    assert len(padded) > MOST_BYTES
    assert read_bucket_policy(padded, "bucket").statements[0].sid == "x" * (room + 1)
    assert refusal(text(says(Principal="*", Sid="x" * (room + 2)))) == (
        "Normalized policy document exceeds the maximum allowed size of 20480 bytes",
        None,
    )
    assert refusal(text(says(Principal="*", Sid="é" * (room // 2 + 2))))[0].startswith("Normalized policy document exceeds")


@pytest.mark.fact("C41")
def test_c41_the_others_of_a_statement_do_not_save_it():
    fits = condition("StringEquals", "s3:x-amz-server-side-encryption", "aws:kms", ["s3:PutObject"])
    assert read_bucket_policy(fits, "bucket").statements[0].conditions[0].key == "s3:x-amz-server-side-encryption"
    mixed = condition("StringEquals", "s3:x-amz-server-side-encryption", "aws:kms", ["s3:PutObject", "s3:GetObject"])
    assert refusal(mixed) == (MISFIT, None)


@pytest.mark.fact("C41")
@pytest.mark.parametrize("action", ["s3:*", "*", "s3:Put*"])
def test_c41_of_a_wildcard_s_actions_one_suffices(action: str):
    read_bucket_policy(condition("Null", "s3:x-amz-server-side-encryption", True, action), "bucket")


@pytest.mark.fact("C42")
@pytest.mark.parametrize("date", ["soon", "2026-99-99", ""])
def test_c42_malformed_dates_are_accepted(date: str):
    read_bucket_policy(condition("DateLessThan", "aws:CurrentTime", date), "bucket")


C43 = [
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-server-side-encryption-customer-algorithm",
    "s3:x-amz-acl",
    "s3:x-amz-grant-read",
    "s3:x-amz-grant-full-control",
    "s3:x-amz-copy-source",
    "s3:x-amz-metadata-directive",
]


@pytest.mark.fact("C43")
@pytest.mark.parametrize("key", C43)
def test_c43_keys_of_put_object(key: str):
    read_bucket_policy(condition("StringEquals", key, "x"), "bucket")
    read_bucket_policy(condition("StringEquals", key.upper().replace("S3:", "s3:"), "x"), "bucket")
    assert refusal(condition("StringEquals", key, "x", "s3:GetObject")) == (MISFIT, None)


@pytest.mark.fact("C44")
@pytest.mark.parametrize("suffix", ["", "Version"])
@pytest.mark.parametrize("action", ["GetObject", "GetObject{}Acl", "PutObject{}Acl", "GetObject{}Tagging", "PutObject{}Tagging"])
def test_c44_existing_object_tags(action: str, suffix: str):
    name = f"s3:{action}{suffix}" if "{}" not in action else f"s3:{action.format(suffix)}"
    read_bucket_policy(condition("StringEquals", "s3:ExistingObjectTag/team", "red", name), "bucket")


@pytest.mark.fact("C44")
@pytest.mark.parametrize("action", ["PutObject", "DeleteObject", "GetObjectRetention", "PutObjectLegalHold"])
def test_c44_actions_without_existing_object_tags(action: str):
    assert refusal(condition("StringEquals", "s3:ExistingObjectTag/team", "red", f"s3:{action}")) == (MISFIT, None)


def test_unknown_aws_keys_and_empty_conditions_are_accepted():
    read_bucket_policy(condition("StringEquals", "aws:Whatever", "x"), "bucket")
    read_bucket_policy(condition("StringEquals", "aws:Whatever", []), "bucket")
    read_bucket_policy(text(says(Principal="*", Condition={})), "bucket")


def test_a_resource_may_be_the_bucket_and_a_star():
    read_bucket_policy(
        text(says(action=["s3:GetObject", "s3:ListBucket"], resource="arn:aws:s3:::bucket*", Principal="*")), "bucket"
    )


# -------------------------------------------------------------------------------------------------------------------- IAM


def iam_refusal(document: str, *, managed: bool = False) -> str:
    with pytest.raises(InvalidPolicy) as refused:
        read_identity_policy(document, "p", managed=managed)
    return str(refused.value)


@pytest.mark.fact("C49", "C51")
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "This policy contains invalid Json"),
        ("x", "This policy contains invalid Json"),
        ('{"Version":"2012-10-17"}', "Syntax errors in policy."),
        (text(says(), version="2026-01-01"), "Syntax errors in policy."),
        (text(says(Sid="with space")), "Syntax errors in policy."),
        (text(says(Sid="x"), says(Sid="x")), "Statement IDs (SID) in a single policy must be unique."),
        (text({"Effect": "Allow", "Resource": "*"}), "Policy statement must contain actions."),
        (text(says(action=[])), "Policy statement must contain actions."),
        (text({"Effect": "Allow", "Action": "s3:GetObject"}), "Policy statement must contain resources."),
        (text(says(action="GetObject")), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
        (
            text(says(Condition={"StringEquals": {"username": "x"}})),
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (text(says(resource="bucket/*")), 'Resource bucket/* must be in ARN format or "*".'),
        (text(says(Principal="*")), "Policy document should not specify a principal."),
        (text(says(NotPrincipal="*")), "Policy document should not specify a principal."),
        (text(says("Permit")), "Syntax errors in policy."),
        (text(says(Condition={"Matches": {"aws:username": "x"}})), "Syntax errors in policy."),
    ],
)
def test_c49_c51_identity_policies(document: str, message: str):
    assert iam_refusal(document) == message


@pytest.mark.fact("C51")
@pytest.mark.parametrize("version", ["2008-10-17", None])
def test_c51_managed_policies_are_of_the_newer_version(version: str | None):
    assert iam_refusal(text(says(), version=version), managed=True) == "Policy document must be version 2012-10-17 or greater."
    assert read_identity_policy(text(says(), version=version), "p").version == "2008-10-17"


@pytest.mark.fact("C50", "C51")
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (says(action="sts:AssumeRole", Principal="*"), "Has prohibited field Resource"),
        ({"Effect": "Allow", "Action": "sts:AssumeRole"}, "Missing required field Principal"),
        (
            {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Principal": "*"},
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ),
        (
            {"Effect": "Allow", "Action": "s3:GetObject", "Principal": "*"},
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ),
        ({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "x"}}, 'Invalid principal in policy: "AWS":"x"'),
        (
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"CanonicalUser": "5" * 64}},
            f'Invalid principal in policy: "CanonicalUser":"{"5" * 64}"',
        ),
    ],
)
def test_c50_c51_trust_policies(statement: dict[str, Any], message: str):
    with pytest.raises(InvalidPolicy) as refused:
        read_trust_policy(text(statement), ROLE)
    assert str(refused.value) == message


@pytest.mark.fact("C50")
def test_c50_the_rooms_above_word_a_principal_that_does_not_exist():
    assert str(invalid_principal(Kind.TRUST, USER)) == f'Invalid principal in policy: "AWS":"{USER}"'
    assert invalid_principal(Kind.RESOURCE, USER).detail == f'"AWS" : "{USER}"'
    assert str(invalid_principal(Kind.KEY, USER)) == "Policy contains a statement with one or more invalid principals."
    trust = read_trust_policy(text({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": [USER, A]}}), ROLE)
    assert trust.named == (("AWS", USER), ("AWS", A))


@pytest.mark.fact("C52")
@pytest.mark.parametrize("action", ["*", "*:*", "s3:*", "s3:Get?bject", "execute-api:Invoke"])
def test_c24_what_an_action_may_look_like(action: str):
    assert read_identity_policy(text(says(action=action)), "p").statements[0].actions.texts == (action,)


def test_c52_white_space_does_not_count():
    assert counted_size('{ "a" :\n\t"b c" }') == len('{"a":"bc"}')


# -------------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.fact("A61", "A62", "A63")
def test_a61_a62_a63_key_policies():
    for statement, message in (
        (says(resource="*", Principal={"AWS": "x"}), "Policy contains a statement with one or more invalid principals."),
        (
            says(resource="*", Principal="*", Condition={"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "a"}}),
            "Policy contains a statement with an over-permissive condition.",
        ),
        (
            says(resource="*", Principal="*", Condition={"ForAllValues:StringEquals": {"kms:EncryptionContext:a": "a"}}),
            "Policy contains a statement with an over-permissive condition.",
        ),
    ):
        with pytest.raises(InvalidPolicy) as refused:
            read_key_policy(text(statement), KEY)
        assert str(refused.value) == message
    kept = read_key_policy(text({"Sid": "With spaces, and no action", "Effect": "Allow", "Principal": "*", "Resource": "*"}), KEY)
    assert kept.statements[0].inert


def test_key_policies_have_a_limit():
    with pytest.raises(InvalidPolicy, match="longer than 32768 bytes"):
        read_key_policy(text(says(resource="*", Principal="*", Sid="x" * 32_768)), KEY)


# ------------------------------------------------------------------------------------------------------------- whatever comes

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["Allow", "*", "s3:*", "2012-10-17"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*says(Principal="*", Sid="", Condition=""), "Version", "Statement", "AWS", "Null"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
_readers = [
    lambda document: read_bucket_policy(document, "bucket"),
    lambda document: read_identity_policy(document, "p"),
    lambda document: read_trust_policy(document, "r"),
    lambda document: read_key_policy(document, "k"),
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(_readers), st.text(max_size=60) | _json.map(json.dumps) | _json.map(text))
def test_whatever_comes_is_a_policy_or_one_clear_error(reader: Any, document: str):
    fault = None
    try:
        reader(document)
    except InvalidPolicy as error:
        fault, message = error.fault, str(error)
        assert message
    assert fault is None or isinstance(fault, Fault)
