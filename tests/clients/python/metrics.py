"""Reads the metrics with Prometheus's own parsers, in both formats; ends with an error if one of them does
not take what it gets, or if the two tell of different things. Called with the URL of the metrics.
"""

import sys
import urllib.request

from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_parser

# These go on between two scrapes.
MOVING = ("redis_proxy_loop_turn_seconds", "process_resident_memory_bytes")


def scrape(accept):
    """The media type and the text that are sent to whoever accepts this."""
    request = urllib.request.Request(sys.argv[1], headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.headers["Content-Type"], response.read().decode()


def samples(families):
    """All samples, by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if family.name not in MOVING
    }


def check(what, actual, expected):
    if actual != expected:
        sys.exit(f"{what}: expected {expected!r}, got {actual!r}")


def main():
    kind, text = scrape("text/plain")
    check("the plain format", kind, "text/plain; version=0.0.4; charset=utf-8")
    plain = list(parser.text_string_to_metric_families(text))

    kind, text = scrape("application/openmetrics-text; version=1.0.0")
    check("OpenMetrics", kind, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    families = list(open_parser.text_string_to_metric_families(text))

    check("the samples", samples(plain), samples(families))
    names = [family.name for family in families]
    check("families that come twice", sorted(set(names)), sorted(names))
    for family in plain + families:
        if not family.documentation or not family.samples:
            sys.exit(f"{family.name}: no help, or no samples")
    # The parser of the older format knows a counter by its bare name, and has no infos.
    types = {family.name: family.type for family in plain}
    for family in families:
        name, type_ = family.name, family.type
        if type_ == "info":
            name, type_ = f"{name}_info", "gauge"
        check(f"the type of {name}", types[name], type_)
    print(f"{len(families)} families, {len(samples(families))} samples")


main()
