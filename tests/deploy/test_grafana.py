"""Dashboards: what is committed is what the code writes, Grafana knows every key, and every figure
exists.
"""

import json
import re
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.utils import floatToGoString

from shared.foundation import telemetry
from tests.deploy.metrics import names_in, plain, unknown
from tests.deploy.tools import DEPLOY, ROOT

GRAFANA = DEPLOY / "grafana"
FILES = {path.stem: path for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
BOARDS = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
PANELS = [
    (name, panel)
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] not in {"row", "text"}
]
each_panel = pytest.mark.parametrize(
    ("board", "panel"), PANELS, ids=[f"{name} {panel['title']}" for name, panel in PANELS]
)


@pytest.fixture(scope="module")
def code():
    spec = spec_from_file_location("dashboards", GRAFANA / "dashboards.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_files_match_the_generator(code):
    committed = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}

    assert {board.uid: code.written(board) for board in code.BOARDS} == committed


@pytest.mark.parametrize("name", [f"d{number}" for number in range(8)])
def test_dashboard_survives_a_round_trip_through_grafana(name):
    again = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(
        Dashboard.from_json(BOARDS[name])
    )

    assert json.loads(again) == BOARDS[name]


@pytest.mark.parametrize("name", FILES)
def test_a_dashboard_begins_with_its_question_and_links_a_section_of_the_runbook(name):
    board = BOARDS[name]
    first = board["panels"][0]
    headings = set(
        re.findall(
            r"^## (\S+)$", (ROOT / "docs/runbook.md").read_text(encoding="utf-8"), re.MULTILINE
        )
    )

    assert first["type"] == "text"
    assert board["description"] in first["options"]["content"]
    assert re.search(r"runbook\.md#([\w-]+)", first["options"]["content"]).group(1) in headings
    assert board["uid"] == f"fengping-{name}"
    assert not board["editable"]
    assert board["refresh"] == ("30s" if name == "d0" else "1m")


@pytest.mark.parametrize("name", FILES)
def test_panels_have_unique_ids_and_do_not_overlap(name):
    panels = BOARDS[name]["panels"]
    ids = [panel["id"] for panel in panels]
    grids = [panel["gridPos"] for panel in panels]
    places = [
        (x, y)
        for at in grids
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]

    assert sorted(set(ids)) == sorted(ids)
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24


@each_panel
def test_panel_has_a_unit_and_a_comparison_or_a_reason(board, panel):
    defaults = panel["fieldConfig"]["defaults"]

    assert defaults["unit"]
    assert re.search(r"[一-鿿]{2,}", panel["description"])
    assert (
        len(defaults.get("thresholds", {}).get("steps", [])) >= 2 or "界线" in panel["description"]
    )
    assert panel["targets"]
    assert panel["datasource"]["uid"] == "prometheus"


@each_panel
def test_panel_queries_parse_and_name_existing_metrics(board, panel):
    for target in panel["targets"]:
        assert names_in(target["expr"]), target["expr"]
        assert unknown(target["expr"]) == set(), target["expr"]


@each_panel
def test_share_within_a_limit_uses_an_existing_bucket(board, panel):
    """`le="60"` parses and finds nothing: our buckets are written `60.0`."""
    for target in panel["targets"]:
        for metric, limit in re.findall(r'(\w+)_bucket\{[^}]*le="([^"]+)"', target["expr"]):
            histogram = next(
                one for one in vars(telemetry).values() if getattr(one, "_name", None) == metric
            )
            assert limit in {floatToGoString(bound) for bound in histogram._kwargs["buckets"]}


@each_panel
def test_a_panel_shows_no_unit_no_case_and_no_person(board, panel):
    grouped = {
        label.strip()
        for t in panel["targets"]
        for by in re.findall(r"by \(([^)]*)\)", t["expr"])
        for label in by.split(",")
    }

    assert not grouped & {"unit", "unit_id", "number", "case_id", "account", "name", "phone"}


def test_only_additive_series_are_stacked():
    stacked = {
        (name, panel["title"])
        for name, panel in PANELS
        if panel["fieldConfig"]["defaults"]
        .get("custom", {})
        .get("stacking", {})
        .get("mode", "none")
        != "none"
    }

    assert stacked == {
        ("d4", "在办件（按环节）"),
        ("d4", "在办件（按期限）"),
    }


def test_links_lead_to_existing_dashboards():
    linked = set(
        re.findall(
            r"/d/([\w-]+)", "".join(path.read_text(encoding="utf-8") for path in FILES.values())
        )
    )

    assert linked <= {board["uid"] for board in BOARDS.values()}


def test_unknown_metric_is_detected():
    assert unknown("sum by (le) (rate(http_request_duration_seconds_buckets[5m]))") == {
        "http_request_duration_seconds_buckets"
    }
    assert unknown('cases_open{unit="a"}') == {"cases_open{unit}"}
    assert plain('x{service=~"$service"}[$__rate_interval]') == 'x{service=~"x"}[5m]'


def test_grafana_is_given_the_datasource_and_the_folder_that_the_dashboards_expect():
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ][0]
    provider = yaml.safe_load(
        (GRAFANA / "provisioning/dashboards/fengping.yml").read_text(encoding="utf-8")
    )["providers"][0]
    mounts = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"][
        "grafana"
    ]["volumes"]

    assert source["uid"] == "prometheus"
    assert not provider["allowUiUpdates"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts
