"""Which rule of CORS fits a request, and what it lets a browser see."""

from __future__ import annotations

import pytest

from strongroom.policy.cross_origin import VARY, CorsRule, find_rule, shown_to

PAGE = "https://www.example.com"
ONE = CorsRule((PAGE,), ("GET", "PUT"), ("content-type", "x-amz-*"), ("ETag", "x-amz-meta-a"), 600)
ALL = CorsRule(("*",), ("GET",))


@pytest.mark.parametrize(
    ("allowed", "origin", "fits"),
    [
        (PAGE, PAGE, True),
        (PAGE, "https://WWW.example.com", False),
        (PAGE, "http://www.example.com", False),
        (PAGE, f"{PAGE}:8443", False),
        (PAGE, f"{PAGE}.evil.test", False),
        ("*", "null", True),
        ("https://*.example.com", PAGE, True),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", f"{PAGE}.evil.test", False),
        ("http*://www.example.com", PAGE, True),
        (f"{PAGE}:*", f"{PAGE}:8443", True),
        (f"{PAGE}:*", PAGE, False),
        ("https://aba*ba", "https://aba", False),  # the two ends may not share characters
    ],
)
def test_origins(allowed, origin, fits):
    assert (find_rule([CorsRule((allowed,), ("GET",))], origin, "GET") is not None) is fits


@pytest.mark.parametrize(
    ("method", "requested", "fits"),
    [
        ("PUT", [], True),
        ("DELETE", [], False),
        ("HEAD", [], False),  # GET does not mean HEAD
        ("PUT", ["content-type"], True),
        ("PUT", ["content-type", "x-amz-meta-colour"], True),
        ("PUT", ["content-type", "authorization"], False),
    ],
)
def test_methods_and_headers(method, requested, fits):
    assert (find_rule([ONE], PAGE, method, requested) is not None) is fits


def test_the_first_rule_that_fits_counts():
    assert find_rule([ONE, ALL], PAGE, "GET") is ONE
    assert find_rule([ALL, ONE], PAGE, "GET") is ALL
    assert find_rule([ALL, ONE], PAGE, "PUT") is ONE
    assert find_rule([], PAGE, "GET") is None


def test_what_a_browser_is_told():
    assert shown_to(ALL, PAGE) == [("access-control-allow-origin", "*"), ("access-control-allow-methods", "GET"), VARY]
    assert shown_to(ONE, PAGE, ["content-type"]) == [
        ("access-control-allow-origin", PAGE),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "content-type"),
        ("access-control-expose-headers", "ETag, x-amz-meta-a"),
        ("access-control-max-age", "600"),
        VARY,
    ]
