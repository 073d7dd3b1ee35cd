"""Every way by which bytes of an object come to the disk asks the one pure function which encryption they get.

The operations are found in the register, by what they need and what AWS's model lets them take: one that is new and not told
of here fails. What is told of here is run, and seen to ask and to do as it was told.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import strongroom.s3
from strongroom.api.errors import ApiError
from strongroom.api.model import members, operation_model, operation_names
from strongroom.api.operation import Register
from strongroom.s3 import encryption, writing
from strongroom.s3.encryption import Choice
from strongroom.s3.operations import s3_operations
from strongroom.seal.format import Envelope, Mode
from tests.s3.test_customer_keys import trio
from tests.s3.test_multipart import TAIL, Upload

#: Operation -> who decides its encryption: the choice, or the choice that its upload began with, judged again.
PATHS = {
    "PutObject": "choose",
    "PostObject": "choose",
    "CopyObject": "choose",
    "CreateMultipartUpload": "choose",
    "UploadPart": "continued",
    "UploadPartCopy": "continued",
    "CompleteMultipartUpload": "continued",
}
#: Take such members or such a right, and ask for no encryption -> why.
NO_BYTES = {
    "PutObjectAnnotation": "its encryption is that of its object, whose data key seals it",
    "Preflight": "it has no body, and says what a browser may send",
    "RenameObject": "its bytes stay where they are; the data key that it has is wrapped anew, as it was",
}


def may_store(operation) -> bool:
    if operation.need.action == "s3:PutObject" or operation.name not in operation_names(operation.service):
        return True  # whatever the model does not know (a form of a browser, say) has to be told of
    model = operation_model(operation.service, operation.name)
    taken = members(model.input_shape)
    writes = model.http["method"] in {"PUT", "POST"}
    return writes and (model.has_streaming_input or bool({"ServerSideEncryption", "SSECustomerKey", "CopySource"} & set(taken)))


def test_every_operation_that_may_store_bytes_is_told_of_here(vault):
    register = Register(s3_operations(vault.rooms))
    assert {operation.name for operation in register if may_store(operation)} == set(PATHS) | set(NO_BYTES)


def calls(tree: ast.AST, name: str) -> int:
    return sum(isinstance(node, ast.Call) and ast.unparse(node.func) == name for node in ast.walk(tree))


def test_only_the_one_function_makes_a_choice_and_only_a_choice_makes_a_data_key():
    """By the code's own tree: where a Choice, a data key and a sealed stream are made."""
    made: dict[str, set[str]] = {
        name: set() for name in ("Choice", "ObjectKey", "Layers", "choose", "continued", "layers.seal", "layers.sealer")
    }
    for path in Path(strongroom.s3.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for name, places in made.items():
                    if calls(node, name):
                        places.add(f"{path.stem}.{node.name}")
    assert made == {
        "Choice": {"encryption.choose", "encryption.kept", "encryption.__post_init__"},  # what a rule implies: see below
        "ObjectKey": {"sealing.new", "sealing.open", "operator_keys.open"},  # from a choice; of what was once written by one
        "Layers": {"sealing.new", "sealing.open", "operator_keys.open", "operator_keys.lengths"},
        "layers.seal": {"writing.seal_in_row"},
        "layers.sealer": {"writing.store_blob"},
        "choose": {"writing.choice_for", "object_encryption._choice"},
        "continued": {"writing.continued_key"},
    }
    sources = {path.stem: path.read_text("utf-8") for path in Path(strongroom.s3.__file__).parent.glob("*.py")}
    assert {name: source.count(".implied") for name, source in sources.items() if ".implied" in source} == {"encryption": 1}
    assert inspect.getsource(encryption.choose).count(".implied") == 1


class Judges:
    """Stands before the two functions: writes down what they said, or says no itself."""

    def __init__(self, monkeypatch):
        self.asked: list[str] = []
        self.chosen: list[Choice] = []
        self.refusing = False
        for name in ("choose", "continued"):
            monkeypatch.setattr(writing, name, self.judging(name, getattr(encryption, name)))

    def judging(self, name, real):
        def judge(*args, **kwargs):
            self.asked.append(name)
            if self.refusing:
                raise ApiError("AccessDenied", "the judge says no")
            said = real(*args, **kwargs)
            if name == "choose":
                self.chosen.append(said)
            return said

        return judge


MODES = {"SSE-S3": Mode.SSE_S3, "SSE-KMS": Mode.SSE_KMS, "DSSE-KMS": Mode.DSSE_KMS, "SSE-C": Mode.SSE_C}
SENT = {
    "nothing": {},
    "AES256": {"ServerSideEncryption": "AES256"},
    "aws:kms": {"ServerSideEncryption": "aws:kms"},
    "aws:kms:dsse": {"ServerSideEncryption": "aws:kms:dsse"},
    "SSE-C": trio(),
}


async def way(vault, operation, sent):
    """Walk one path up to and with its operation: what remains to be run, and with what."""
    await vault.put("source", TAIL)
    given = {"Bucket": "bucket", "Key": "k"}
    if operation in {"PutObject", "PostObject", "CopyObject", "CreateMultipartUpload"}:
        more = {"PutObject": {"data": TAIL}, "PostObject": {"data": TAIL}, "CopyObject": {"CopySource": "bucket/source"}}
        return given | more.get(operation, {}) | sent
    upload = Upload(vault)
    await upload.create(**sent)
    customer = {name: value for name, value in sent.items() if name.startswith("SSECustomer")}
    if operation == "CompleteMultipartUpload":
        await upload.part(1, TAIL, **customer)
        return upload.at | {"MultipartUpload": upload.named()} | customer
    more = {"UploadPart": {"data": TAIL}, "UploadPartCopy": {"CopySource": "bucket/source"}}
    return upload.at | {"PartNumber": 1} | more[operation] | customer


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
@pytest.mark.parametrize("default", ["AES256", "aws:kms", "aws:kms:dsse"])
@pytest.mark.parametrize("operation", PATHS)
async def test_each_path_asks_and_does_as_it_was_told(vault, monkeypatch, operation, default, sent):
    await vault.make()
    await vault.rule(default)
    given = await way(vault, operation, sent)
    judges = Judges(monkeypatch)
    before = vault.sql("SELECT seal FROM version WHERE object_key = x'6b' UNION ALL SELECT seal FROM upload")
    await vault.ask(operation, **given)
    assert judges.asked == [PATHS[operation]]
    after = vault.sql("SELECT seal FROM version WHERE object_key = x'6b' UNION ALL SELECT seal FROM upload")
    stored = {Envelope.decode(seal).mode for (seal,) in after}
    expected = "SSE-C" if "SSECustomerKey" in sent else sent.get("ServerSideEncryption", default)
    expected = {"AES256": "SSE-S3", "aws:kms": "SSE-KMS", "aws:kms:dsse": "DSSE-KMS"}.get(expected, expected)
    assert stored == {MODES[expected]}
    if PATHS[operation] == "choose":
        assert [choice.mode for choice in judges.chosen] == [expected]
    else:
        assert {Envelope.decode(seal).mode for (seal,) in before} == stored  # as it began


@pytest.mark.parametrize("operation", PATHS)
async def test_a_no_of_the_judge_stores_nothing(vault, monkeypatch, operation):
    await vault.make()
    given = await way(vault, operation, {})
    state = [vault.sql(f"SELECT count(*) FROM {table}") for table in ("version", "upload", "part")], vault.files  # noqa: S608
    judges = Judges(monkeypatch)
    judges.refusing = True
    assert (await vault.refused(operation, **given)).message == "the judge says no"
    assert ([vault.sql(f"SELECT count(*) FROM {table}") for table in ("version", "upload", "part")], vault.files) == state  # noqa: S608
