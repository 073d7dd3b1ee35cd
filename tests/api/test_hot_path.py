from __future__ import annotations

from typing import NoReturn

import pytest

from strongroom.api import codec_json, codec_query, codec_rest_xml
from strongroom.api.codec import Codec
from strongroom.api.operation import Answer
from strongroom.api.routing import Route, Router


def test_no_model_is_touched_while_requests_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    router, codec = Router(["localhost"]), Codec()

    def serve() -> None:
        put = router.route("PUT", "/b/k", "", {"host": "localhost"})
        codec.body_kind("s3", put.operation)
        codec.decode(put, "x-id=PutObject", {"content-type": "text/plain"}, None)
        codec.encode("s3", "PutObject", Answer({"ETag": '"e"'}), "R", "H")
        listed = router.route("GET", "/b", "list-type=2", {"host": "localhost"})
        codec.decode(listed, "list-type=2", {}, None)
        codec.encode("s3", "ListObjectsV2", Answer({"Contents": [{"Key": "k"}]}), "R", "H")
        body = b"<Delete><Object><Key>k</Key></Object></Delete>"
        codec.decode(Route("s3", "DeleteObjects", "b", "", virtual_host=False), "delete", {}, body)
        codec.decode(Route("kms", "DescribeKey", "", "", virtual_host=False), "", {}, b'{"KeyId": "k"}')
        codec.encode("kms", "DescribeKey", Answer({"KeyMetadata": {"KeyId": "k"}}), "R")
        codec.decode(Route("sts", "GetCallerIdentity", "", "", virtual_host=False), "", {}, b"Action=GetCallerIdentity")
        codec.encode("sts", "GetCallerIdentity", Answer({"Account": "1"}), "R")

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a model was read for a request")

    serve()
    for module in (codec_rest_xml, codec_json, codec_query):
        for name in ("operation_model", "members", "trait", "required"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, refuse)
    serve()
