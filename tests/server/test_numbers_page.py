"""``/-/metrics`` of a real server."""

from __future__ import annotations

import http.client
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


def page(url: str) -> str:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", "/-/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def families(url: str) -> dict[str, Any]:
    """Metrics by the name that is on the page of metrics."""
    found = text_string_to_metric_families(page(url))
    return {f"{family.name}_total" if family.type == "counter" else family.name: family for family in found}


def metrics(url: str) -> dict[str, float]:
    """Values by name, with labels as Prometheus writes them: ``name{a="b"}``."""
    values: dict[str, float] = {}
    for family in families(url).values():
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            values[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return values
