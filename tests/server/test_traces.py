"""Traces: a real collector's end of OTLP over HTTP on the loopback, and what a real server sends it."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer

import botocore.exceptions
import pytest

from strongroom.config import Config, ConfigError, load
from tests.server.process import ROOT, Serving
from tests.server.test_serving import client

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
SECRET = ROOT["STRONGROOM_ROOT_SECRET_ACCESS_KEY"]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(HTTPServer):
    """``spans`` are those that came, ``raw`` the bytes that they came in."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Taking)
        self.spans, self.raw, self.about, self.paths = [], b"", {}, set()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1/traces"

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class Taking(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        asked = trace_service.ExportTraceServiceRequest.FromString(body)
        self.server.raw += body
        self.server.paths.add(self.path)
        for each in asked.resource_spans:
            self.server.about |= {one.key: one.value.string_value for one in each.resource.attributes}
            self.server.spans += [span for scope in each.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def values(span):
    def plain(value):
        return getattr(value, value.WhichOneof("value"))

    return {one.key: plain(one.value) for one in span.attributes}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a server of two workers sent from its start to its end, and what the requests were answered."""
    collector = Collector()
    answers = {}
    environ = ROOT | {"STRONGROOM_TRACES": collector.url}
    with Serving(tmp_path_factory.mktemp("traced") / "data", "--workers", "2", environ=environ) as serving:
        s3 = client("s3", serving.url)
        s3.create_bucket(Bucket="letters")
        kms = {"Bucket": "letters", "Key": "secret name", "ServerSideEncryption": "aws:kms"}
        answers["put"] = s3.put_object(**kms, Body=b"plain secret text")
        answers["get"] = s3.get_object(Bucket="letters", Key="secret name")
        answers["get"]["Body"].read()
        answers["large"] = s3.put_object(Bucket="letters", Key="large", Body=b"x" * 3_000_000)
        answers["got"] = s3.get_object(Bucket="letters", Key="large")
        answers["got"]["Body"].read()
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            s3.get_object(Bucket="letters", Key="none")
        answers["none"] = caught.value.response

        def go_on(request, **_):
            request.headers["traceparent"] = f"00-{TRACE}-{PARENT}-01"

        s3.meta.events.register("before-send.s3.ListBuckets", go_on)
        answers["list"] = s3.list_buckets()
        s3.close()
        assert serving.stop() == 0
        log = serving.log.read_text()
    collector.close()
    return collector, answers, log


def request_of(collector, answer):
    request_id = answer["ResponseMetadata"]["RequestId"]
    (span,) = [span for span in collector.spans if values(span).get("aws.request_id") == request_id]
    children = [one for one in collector.spans if one.parent_span_id == span.span_id]
    assert all(one.trace_id == span.trace_id for one in children)
    assert all(one.start_time_unix_nano >= span.start_time_unix_nano for one in children)
    return span, Counter(one.name for one in children)


def test_each_request_is_a_span_and_what_it_does_are_spans_in_it(told):
    collector, answers, log = told
    span, children = request_of(collector, answers["put"])
    assert (span.name, span.kind) == ("s3 PutObject", 2)  # SERVER
    assert values(span) == {
        "http.request.method": "PUT",
        "url.scheme": "http",
        "strongroom.service": "s3",
        "strongroom.operation": "PutObject",
        "aws.request_id": answers["put"]["ResponseMetadata"]["RequestId"],
        "http.response.status_code": 200,
        "http.request.body.size": 17,
        "http.response.body.size": 0,
    }
    assert (children["kms GenerateDataKey"], children["commit"]) == (1, 2)  # the first object's key is made with it
    _, children = request_of(collector, answers["get"])
    assert children["kms Decrypt"] == 1
    assert "traces are not taken" not in log


def test_blobs_are_spans_and_a_streamed_answer_ends_with_its_last_byte(told):
    collector, answers, _ = told
    _, children = request_of(collector, answers["large"])
    assert (children["blob write"], children["commit"]) == (1, 1)
    span, children = request_of(collector, answers["got"])
    assert children["blob read"] >= 2  # the first window, and what is behind it
    assert values(span)["http.response.body.size"] == 3_000_000
    reads = [one for one in collector.spans if one.name == "blob read" and one.parent_span_id == span.span_id]
    assert all(one.end_time_unix_nano <= span.end_time_unix_nano for one in reads)
    writes = [one for one in collector.spans if one.name == "blob write"]
    assert all(one.end_time_unix_nano > one.start_time_unix_nano for one in writes)


def test_a_refusal_has_its_code(told):
    collector, answers, _ = told
    span, _ = request_of(collector, answers["none"])
    assert (values(span)["error.type"], values(span)["http.response.status_code"]) == ("NoSuchKey", 404)
    assert span.status.code == 0  # a client's fault is none of the server's


def test_a_clients_trace_is_gone_on_with(told):
    collector, answers, _ = told
    span, _ = request_of(collector, answers["list"])
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    put, _ = request_of(collector, answers["put"])
    assert (put.parent_span_id, put.trace_id.hex() == TRACE) == (b"", False)


def test_the_collector_is_told_who_speaks_and_nothing_that_is_secret(told):
    collector, _, _ = told
    assert collector.paths == {"/v1/traces"}
    assert collector.about["service.name"] == "strongroom"
    for never in (
        SECRET,
        "plain secret text",
        "secret name",
        "letters",
        ROOT["STRONGROOM_ROOT_ACCESS_KEY_ID"],
        "Signature",
        "127.0.0.1",
    ):
        assert never.encode() not in collector.raw


def test_a_collector_that_is_not_there_is_one_line_in_the_log_and_stops_nothing(tmp_path):
    environ = ROOT | {"STRONGROOM_TRACES": "http://127.0.0.1:9/v1/traces", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with Serving(tmp_path / "data", environ=environ) as serving:
        s3 = client("s3", serving.url)
        s3.create_bucket(Bucket="letters")
        s3.list_buckets()
        s3.close()
        assert serving.stop() == 0
        assert serving.log.read_text().count("traces are not") in {1, 2}
        assert "Traceback" not in serving.log.read_text()


def test_the_share_of_requests_is_not_the_clients_to_choose(monkeypatch):
    from strongroom.edge.head import Head, Reply
    from strongroom.tracing import Tracing

    tracing = Tracing("http://127.0.0.1:9/v1/traces", 1)
    recording = []

    async def handle(_head, _raw):
        recording.append(tracing._trace.get_current_span().is_recording())
        return Reply(200)

    async def ask():
        for number in range(200):
            trace = f"{number:08x}" + "f" * 24  # a fraction that is far above one in a hundred
            head = Head("GET", "/", None, "", {"traceparent": f"00-{trace}-{PARENT}-01"}, "http", "127.0.0.1")
            await tracing.around(handle)(head, None)

    asyncio.run(ask())
    assert not any(recording)
    tracing._provider.shutdown()


def test_without_the_extra_a_server_that_is_to_trace_does_not_start(tmp_path):
    words = ["strongroom", "serve", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]
    program = f"import sys; sys.modules['opentelemetry'] = None; sys.argv = {words}; from strongroom.cli.main import main; main()"
    environ = os.environ | ROOT | {"STRONGROOM_TRACES": "http://127.0.0.1:4318/v1/traces"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False, timeout=40)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "OpenTelemetry is not installed: pip install 'strongroom[otel]'" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_server_that_does_not_trace_imports_nothing_of_it():
    program = (
        "import sys, strongroom.worker, strongroom.house; print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("text", ["on", "localhost:4318", "ftp://x", "http://", "http://a b"])
def test_what_is_no_collector(text):
    with pytest.raises(ConfigError, match="STRONGROOM_TRACES must be off, or begin with"):
        load({}, {"STRONGROOM_TRACES": text})
    assert Config().traces == "off"
