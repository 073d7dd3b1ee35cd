"""XML from strangers: what is not exactly the model's document is MalformedXML, quickly and without side effects."""

from __future__ import annotations

import time
from typing import Any

import pytest

from strongroom.api.codec import Codec
from strongroom.api.errors import ApiError
from strongroom.api.routing import Route

CODEC = Codec()
S3 = "http://s3.amazonaws.com/doc/2006-03-01/"


def read(body: bytes | str, operation: str = "PutBucketEncryption") -> dict[str, Any]:
    route = Route("s3", operation, "b", "k", virtual_host=False)
    raw = body.encode() if isinstance(body, str) else body
    return CODEC.decode(route, "", {}, raw)


def rule(inner: str, attributes: str = "") -> str:
    return f"<ServerSideEncryptionConfiguration{attributes}>{inner}</ServerSideEncryptionConfiguration>"


AES = "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>"
PLAIN = {
    "ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
    "Bucket": "b",
}


@pytest.mark.parametrize(
    "body",
    [
        rule(AES),
        rule(AES, f' xmlns="{S3}"'),
        rule(AES, ' xmlns="http://doc.s3.amazonaws.com/2006-03-01"'),
        rule(AES, f' xmlns="{S3}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b"'),
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + rule(AES),
        '<?xml version="1.0" encoding="ISO-8859-1"?>' + rule(AES),  # it is ASCII
        "\ufeff" + rule(AES),
        rule(f"\n  <!-- a comment -->\n\t{AES}\r\n"),
        rule(AES.replace("AES256", "AES<!-- split -->256")),
        rule(AES.replace("AES256", "<![CDATA[AES256]]>")),
        rule(AES.replace("AES256", "&#65;ES256")),
        f'<s:ServerSideEncryptionConfiguration xmlns:s="{S3}">'
        + AES.replace("</", "</s:").replace("<A", "<s:A").replace("<R", "<s:R").replace("<SSE", "<s:SSE")
        + "</s:ServerSideEncryptionConfiguration>",
    ],
)
def test_documents_that_are_meant(body: str) -> None:
    assert read(body) == PLAIN


def test_members_may_come_in_any_order() -> None:
    inner = (
        "<Rule><BucketKeyEnabled> true </BucketKeyEnabled><BlockedEncryptionTypes><EncryptionType>NONE</EncryptionType>"
        "<EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes><ApplyServerSideEncryptionByDefault>"
        "<KMSMasterKeyID>a &amp; b</KMSMasterKeyID><SSEAlgorithm>aws:kms</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>"
    )
    assert read(rule(inner))["ServerSideEncryptionConfiguration"]["Rules"] == [
        {
            "BucketKeyEnabled": True,
            "BlockedEncryptionTypes": {"EncryptionType": ["NONE", "SSE-C"]},
            "ApplyServerSideEncryptionByDefault": {"KMSMasterKeyID": "a & b", "SSEAlgorithm": "aws:kms"},
        }
    ]


BILLION = (
    '<!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{"&" + a + ";"}{"&" + a + ";"}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "not xml",
        "<",
        rule(AES)[:-1],
        rule(AES) + rule(AES),
        rule(AES) + "x",
        rule(""),  # a required member is missing
        rule("<Rule><ApplyServerSideEncryptionByDefault/></Rule>"),
        rule(f"<Rules>{AES}</Rules>"),
        rule(AES.replace("</Rule>", "<Unknown/></Rule>")),
        rule(AES.replace("AES256", "aes256")),
        rule(AES.replace("AES256", " AES256")),
        rule(AES.replace("AES256", "<b>AES256</b>")),
        rule(AES.replace("</Rule>", "<BucketKeyEnabled>maybe</BucketKeyEnabled></Rule>")),
        rule(AES.replace("</Rule>", "<BucketKeyEnabled>true</BucketKeyEnabled><BucketKeyEnabled>true</BucketKeyEnabled></Rule>")),
        rule(AES.replace("<Rule>", "<Rule>text")),
        rule(AES, ' xmlns="http://example.com/"'),
        rule(AES, f' xmlns="{S3}x"'),
        rule(AES, ' surprise="1"'),
        rule(AES, f' a="{"x" * 1_000_000}"'),
        rule(AES, ' xmlns:a="b" a:c="1" a:c="2"'),
        "<Wrong>" + AES + "</Wrong>",
        BILLION + rule(AES.replace("AES256", "&i;")),
        "<!DOCTYPE x>" + rule(AES),
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">' + rule(AES),
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + rule(AES.replace("AES256", "&e;")),
        '<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1:1/"> %e;]>' + rule(AES),
        rule(AES.replace("AES256", "&undefined;")),
        "<?xml-stylesheet href='x'?>" + rule(AES),
        "<a>" * 10_000,
        rule("<Rule>" * 10_000),
        rule(AES.replace("AES256", "AES\x01256")),
        rule(AES.replace("AES256", "&#1;")),
        rule(AES).encode("utf-16"),
        rule(AES).encode().replace(b"AES256", b"AES\xff256"),
        rule(AES).encode().replace(b"AES256", b"\xc0\x80"),
        b"\x00" * 100,
    ],
)
def test_everything_else_is_malformed(body: str | bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(ApiError) as caught:
        read(body)
    assert caught.value.code == ("MissingRequestBodyError" if not body else "MalformedXML")
    assert caught.value.status == 400
    assert time.perf_counter() - started < 2


def test_an_optional_body_may_be_absent() -> None:
    assert read(b"", "CreateBucket") == {"Bucket": "b"}


def test_grantees_are_told_by_their_attribute() -> None:
    xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    body = (
        f'<AccessControlPolicy xmlns="{S3}"><Owner><ID>o</ID></Owner><AccessControlList><Grant><Grantee {xsi} xsi:type="CanonicalUser">'
        "<ID>i</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>"
    )
    policy = read(body, "PutBucketAcl")["AccessControlPolicy"]
    assert policy == {"Owner": {"ID": "o"}, "Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": "i"}, "Permission": "READ"}]}
    with pytest.raises(ApiError, match="MalformedACLError"):  # the type is required
        read(body.replace(f'{xsi} xsi:type="CanonicalUser"', ""), "PutBucketAcl")


def test_keys_are_kept_to_the_last_blank() -> None:
    body = "<Delete><Object><Key> a\tb \n</Key></Object><Object><Key></Key></Object><Quiet>true</Quiet></Delete>"
    assert read(body, "DeleteObjects")["Delete"] == {"Objects": [{"Key": " a\tb \n"}, {"Key": ""}], "Quiet": True}


def test_a_list_of_ten_thousand_parts_is_read() -> None:
    part = "<Part><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><PartNumber>{}</PartNumber></Part>"
    body = (
        "<CompleteMultipartUpload>" + "".join(part.format(number) for number in range(1, 10_001)) + "</CompleteMultipartUpload>"
    )
    route = Route("s3", "CompleteMultipartUpload", "b", "k", virtual_host=False)
    parts = CODEC.decode(route, "uploadId=u", {}, body.encode())["MultipartUpload"]["Parts"]
    assert len(parts) == 10_000
    assert parts[-1] == {"ETag": '"d41d8cd98f00b204e9800998ecf8427e"', "PartNumber": 10_000}


@pytest.mark.parametrize("number", ["", "1.5", "x", "1e3", "9" * 30, "0x1"])
def test_numbers_must_be_numbers(number: str) -> None:
    route = Route("s3", "CompleteMultipartUpload", "b", "k", virtual_host=False)
    body = f"<CompleteMultipartUpload><Part><PartNumber>{number}</PartNumber></Part></CompleteMultipartUpload>"
    with pytest.raises(ApiError, match="MalformedXML"):
        CODEC.decode(route, "uploadId=u", {}, body.encode())


def test_the_texts_of_update_object_encryption() -> None:
    assert read("<ObjectEncryption><SSE-KMS/></ObjectEncryption>", "UpdateObjectEncryption")["ObjectEncryption"] == {"SSEKMS": {}}
    with pytest.raises(ApiError) as caught:
        read(
            "<ObjectEncryption><SSE-KMS><BucketKeyEnabled>x</BucketKeyEnabled></SSE-KMS></ObjectEncryption>",
            "UpdateObjectEncryption",
        )
    assert caught.value.code == "InvalidRequest"
    assert caught.value.message.startswith("The BucketKeyEnabled value isn't valid.")
