"""The reader of multipart/form-data: what browsers send, cut anywhere; and what nobody should."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.api.errors import ApiError
from strongroom.edge.form_reader import FIELDS_MOST, PARTS_MOST, FormReader, boundary_of

BOUNDARY = b"----WebKitFormBoundaryx1"
DATA = b"line\r\n--other\r\n------WebKitFormBoundaryx\r\n\r\n-- \x00\xff"


def part(name: str, value: bytes, more: str = "", headers: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n{headers}\r\n'.encode() + value


def form(*parts: bytes, end: bytes = b"--\r\n") -> bytes:
    line = b"--" + BOUNDARY
    return b"\r\n".join([line + b"\r\n" + each for each in parts] + [line]) + end


def file(data: bytes = DATA, name: str = "a b.txt") -> bytes:
    return part("file", data, f'; filename="{name}"', "Content-Type: text/plain\r\n")


def read(body: bytes, *cuts: int) -> tuple[dict[str, str], str | None, bytes]:
    reader = FormReader(BOUNDARY)
    edges = [0, *sorted(cuts), len(body)]
    data = b"".join([reader.feed(body[start:stop]) for start, stop in pairwise(edges)])
    reader.finish()
    return reader.fields, reader.filename, data


def code(body: bytes, *cuts: int) -> str:
    with pytest.raises(ApiError) as caught:
        read(body, *cuts)
    return caught.value.code


WHOLE = form(
    part("key", b"a/${filename}"), part("Empty", b""), part("x-amz-meta-a", "ü\r\n".encode()), file(), part("submit", b"x")
)
READ = ({"key": "a/${filename}", "empty": "", "x-amz-meta-a": "ü\r\n"}, "a b.txt", DATA)


def test_cut_at_every_byte():
    assert read(WHOLE) == READ
    for cut in range(len(WHOLE) + 1):
        assert read(WHOLE, cut) == READ
    assert read(WHOLE, *range(len(WHOLE))) == READ


def test_without_its_end_it_is_nothing():
    for length in range(len(WHOLE) - 2):  # but for the last line end
        assert code(WHOLE[:length]) == "MalformedPOSTRequest"
    assert read(WHOLE[:-2]) == READ


@given(st.binary(max_size=300), st.lists(st.integers(0, 700), max_size=5))
def test_any_file_comes_back(data, cuts):
    data = data.replace(BOUNDARY, b"")
    body = form(part("key", b"k"), file(data))
    assert read(body, *[cut for cut in cuts if cut < len(body)]) == ({"key": "k"}, "a b.txt", data)


@given(st.binary(max_size=400))
def test_rubbish_is_refused_or_read_and_never_breaks(data):
    reader = FormReader(BOUNDARY)
    try:
        reader.feed(b"--" + BOUNDARY + b"\r\n" + data)
        reader.finish()
    except ApiError:
        pass


def test_what_is_held_back_of_a_file_is_small():
    reader = FormReader(BOUNDARY)
    reader.feed(form(part("key", b"k"), file(b""), end=b"")[: -len(BOUNDARY) - 4])
    for _ in range(100):
        assert len(reader.feed(b"\r" * 10_000)) >= 10_000 - len(BOUNDARY) - 4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n" + form(file()),  # no preamble
        b"x\r\n" + form(file()),
        form(file(), end=b"--\r\nx"),
        form(file(), end=b"-x"),
        form(file(), end=b" \r\n"),
        form(b"\r\nx"),  # no headers
        form(b"Content-Type: a\r\n\r\nx"),
        form(b"Content-Disposition: attachment; name=a\r\n\r\nx"),
        form(b"Content-Disposition: form-data\r\n\r\nx"),
        form(b'Content-Disposition: form-data; name=""\r\n\r\nx'),
        form(b'Content-Disposition: form-data; name="a"; name="b"\r\n\r\nx'),
        form(b'Content-Disposition: form-data; name="a\r\n\r\nx'),
        form(b'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"\r\n\r\nx'),
        form(b'Content-Disposition: form-data; name="a"\r\n folded: x\r\n\r\nx'),
        form(b'Content-Disposition: form-data; name="a"\nX: y\r\n\r\nx'),
        form(b'Content-Disposition: form-data; name="\xff"\r\n\r\nx'),
        form(part("a", b"\xff")),
        form(part("a", b"aGk=", "", "Content-Transfer-Encoding: base64\r\n")),
        form(part("a", b"x"), part("A", b"y")),  # the same field
        form(part("a" * 3000, b"x")),
    ],
)
def test_malformed(body):
    assert code(body) == "MalformedPOSTRequest"
    assert code(body, *range(len(body))) == "MalformedPOSTRequest"


def test_one_file():
    assert code(form(part("key", b"k"))) == "InvalidArgument"
    assert code(form(file(), file())) == "IncorrectNumberOfFilesInPostRequest"
    assert read(form(part("other", b"x", '; filename="o"'), file()))[0] == {"other": "x"}  # only what is named so is the file


def test_fields_have_bounds():
    fits = FIELDS_MOST - len("key")
    assert len(read(form(part("key", bytes(fits)), file()))[0]["key"]) == fits
    too_much = form(part("key", bytes(fits + 1)), file())
    assert code(too_much) == code(too_much, *range(0, len(too_much), 7)) == "MaxPostPreDataLengthExceededError"
    assert code(form(part("a", bytes(fits)), part("b", b"xxx"), file())) == "MaxPostPreDataLengthExceededError"
    assert code(form(file(), part("a", bytes(fits + 3)))) == "MaxPostPreDataLengthExceededError"  # behind the file, too
    many = [part(f"f{number}", b"") for number in range(PARTS_MOST)]
    assert code(form(*many, file())) == "MaxPostPreDataLengthExceededError"
    assert len(read(form(*many[1:], file()))[0]) == PARTS_MOST - 1
    reader = FormReader(BOUNDARY)
    reader.feed(form(part("key", b""), end=b"")[: -len(BOUNDARY) - 4])
    for _ in range(FIELDS_MOST // 1000):
        reader.feed(bytes(1000))
    with pytest.raises(ApiError):  # before its end is seen
        reader.feed(bytes(1000))


@pytest.mark.parametrize(
    ("sent", "meant"), [('a\\"b', 'a"b'), ("C:\\up\\a.txt", "C:\\up\\a.txt"), ("%22", "%22"), ("ü", "ü"), ("", "")]
)
def test_names_of_files(sent, meant):
    assert read(form(file(b"x", sent)))[1] == meant


def test_a_name_without_quotes():
    assert read(form(b"Content-Disposition: form-data; name=key\r\n\r\nk", file()))[0] == {"key": "k"}


@pytest.mark.fact("E33")
@pytest.mark.parametrize("sent", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed; boundary=a"])
def test_another_type_of_content(sent):
    with pytest.raises(ApiError) as caught:
        boundary_of(sent)
    error = caught.value
    assert (error.status, error.code) == (412, "PreconditionFailed")
    assert error.members == {"Condition": "Bucket POST must be of the enclosure-type multipart/form-data"}


@pytest.mark.parametrize(
    "sent", ["", "; boundary=", '; boundary="a', "; boundary=" + "a" * 71, '; boundary="a "', "; boundary=ü"]
)
def test_no_boundary(sent):
    with pytest.raises(ApiError) as caught:
        boundary_of(f"multipart/form-data{sent}")
    assert caught.value.code == "MalformedPOSTRequest"


@pytest.mark.parametrize(
    ("sent", "meant"), [("a=b; boundary=x-y", b"x-y"), ('BOUNDARY="a b?"', b"a b?"), ("boundary=a; charset=utf-8", b"a")]
)
def test_boundaries(sent, meant):
    assert boundary_of(f"Multipart/Form-Data; {sent}") == meant
