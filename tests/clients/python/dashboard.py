"""Prints the queries of a Grafana dashboard as rules for Prometheus, so that promtool can check them. Called
with the dashboard's file.
"""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    dashboard = json.load(file)

queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
ids = [panel["id"] for panel in dashboard["panels"]]
if len(set(ids)) != len(ids):
    sys.exit(f"panels with the same number: {ids}")
for panel in dashboard["panels"]:
    place = panel["gridPos"]
    if place["x"] + place["w"] > 24:
        sys.exit(f"{panel['title']!r} stands out on the right")

rules = [
    {"record": f"query_{number}", "expr": query.replace("$__rate_interval", "5m").replace("$instance", ".*")}
    for number, query in enumerate(queries)
]
json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, sys.stdout)
