"""Alerts: they parse, speak of metrics that exist, link to what helps, and fire in their story and
in no other.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml

from shared.storage.schema import SERVICES
from tests.deploy.metrics import names_in, unknown
from tests.deploy.tools import DEPLOY, ROOT, output_of, program

PROMETHEUS = DEPLOY / "prometheus"
FILES = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((PROMETHEUS / "rules").glob("*.yml"))
}
RULES = [rule for file in FILES.values() for group in file["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
PAGES = sorted(name for name, rule in ALERTS.items() if rule["labels"]["severity"] == "page")
STORIES = Path(__file__).parent / "alerts.yml"


def placed_stories(
    folder: Path, rules: Path = PROMETHEUS / "rules", only: str | None = None
) -> Path:
    """promtool's file of the stories, of all alerts or of one."""
    stories = yaml.safe_load(STORIES.read_text(encoding="utf-8").replace("{RULES}", str(rules)))
    if only:
        stories["tests"] = [
            test
            for test in stories["tests"]
            if any(expectations["alertname"] == only for expectations in test["alert_rule_test"])
        ]
    file = folder / "alerts.yml.stories"
    file.write_text(yaml.safe_dump(stories, allow_unicode=True), encoding="utf-8")
    return file


def test_alerts_pass_their_stories(tmp_path):
    output_of("promtool", "test", "rules", placed_stories(tmp_path))


@pytest.mark.parametrize("name", PAGES)
def test_every_paging_alert_has_a_firing_and_a_silent_story(
    name,
):
    expectations = [
        bool(story["exp_alerts"])
        for test in yaml.safe_load(STORIES.read_text(encoding="utf-8"))["tests"]
        for story in test["alert_rule_test"]
        if story["alertname"] == name
    ]

    assert set(expectations) == {True, False}


# Each removes a condition that an alert needs to stay silent or to fire; a story must detect it.
BROKEN = {
    "a replica is the service": (
        "ServiceDown",
        'max by (app) (up{job="fengping"}) == 0',
        'min by (app) (up{job="fengping"}) == 0',
    ),
    "a missing service does not fire": (
        "ServiceDown",
        'or absent(up{job="fengping",app="notify"})',
        "",
    ),
    "three errors are a burn": ("ErrorBudgetFastBurn", "[1h])) > 10)", "[1h])) > 0)"),
    "errors that stopped still burn": (
        "ErrorBudgetFastBurn",
        "and svc:err:ratio5m > 14.4 * 0.005",
        "and svc:err:ratio5m >= 0",
    ),
    "readiness is a user": ("ErrorBudgetFastBurn", ',route!="/livez"', ""),
    "a wrong form is a failure": (
        "IntakeSubmitFailing",
        'method="POST",code=~"5..",route=~"/intake',
        'method="POST",route=~"/intake',
    ),
    "a failure of a new series does not fire": (
        "IntakeSubmitFailing",
        "unless http_requests_total offset 15m) or vector(0))",
        "and vector(0)) or vector(0))",
    ),
    "lag is a stall": ("ConsumerStalled", " and changes(part:offset[10m]) == 0", ""),
    "what a replica read before counts": (
        "ConsumerStalled",
        "== on (consumergroup, topic, partition) group_left () part:offset",
        ">= 0",
    ),
    "two minutes are stuck": (
        "OutboxStuck",
        "outbox_oldest_age_seconds) > 120",
        "outbox_oldest_age_seconds) > 0",
    ),
    "a released clock is held": (
        "ClockJumped",
        "max by (service) (clock_jump_guard) == 1",
        "max by (service) (max_over_time(clock_jump_guard[1h])) == 1",
    ),
    "others must sweep too": (
        "DeadlineSweepMissed",
        "max(deadline_sweep_last",
        "min(deadline_sweep_last",
    ),
    "agreement is drift": (
        "ScoreDrift",
        "score_replay_mismatch_units) > 0",
        "score_replay_mismatch_units) >= 0",
    ),
    "what was read yesterday counts": (
        "IdentityRevealSpike",
        "increase(complainant_reveal_total[1h])",
        "complainant_reveal_total",
    ),
    "a closed campaign is stale": (
        "ScoreBoardStale",
        "time() - max(score_board",
        "time() - min(score_board",
    ),
    "one agreeing replica hides a refusal": (
        "WitnessRefusing",
        "max by (service) (witness_refusing)",
        "min by (service) (witness_refusing)",
    ),
    "a pause is silence": ("WitnessBehind", "> 3 * 3600", "> 0"),
    "everybody keeps a calendar": (
        "CalendarMissing",
        "max(workday_calendar",
        "min(workday_calendar",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_stories_detect_a_broken_rule(name, tmp_path):
    alert, right, wrong = BROKEN[name]
    texts = {
        path.name: path.read_text(encoding="utf-8") for path in (PROMETHEUS / "rules").glob("*.yml")
    }
    assert any(right in text for text in texts.values())
    for file, text in texts.items():
        (tmp_path / file).write_text(text.replace(right, wrong), encoding="utf-8")

    assert not accepts(placed_stories(tmp_path, tmp_path, alert))


def accepts(stories: Path) -> bool:
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(stories)],
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert ("FAILED:" in done.stderr + done.stdout) == (done.returncode != 0), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_an_expression_parses_and_names_metrics_that_exist(rule):
    promql_parser.parse(rule["expr"])

    assert unknown(rule["expr"]) == set()
    assert names_in(rule["expr"]) or rule["expr"] == "vector(1)"


@pytest.mark.parametrize("name", ALERTS)
def test_alert_explains_in_chinese_and_links_the_runbook(name):
    notes, severity = ALERTS[name]["annotations"], ALERTS[name]["labels"]["severity"]
    runbook, _, anchor = notes["runbook"].partition("#")
    headings = re.findall(r"^## (\S+)$", (ROOT / runbook).read_text(encoding="utf-8"), re.MULTILINE)
    dashboards = {
        json.loads(path.read_text())["uid"]
        for path in (DEPLOY / "grafana/dashboards").glob("*.json")
    }

    assert severity in {"page", "ticket", "none"}
    assert re.search(r"[一-鿿]{2,}", notes["summary"])
    assert anchor in headings
    assert notes["dashboard"].removeprefix("/d/") in dashboards


def test_a_summary_uses_only_labels_that_the_alert_has():
    for name, rule in ALERTS.items():
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert re.search(rf"\b{label}\b", rule["expr"]) or label in {
                "app",
                "service",
                "instance",
                "mountpoint",
                "group",
                "topic",
            }, name


def test_prometheus_configuration_is_valid_and_scrapes_the_four_services():
    output_of("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    jobs = {
        job["job_name"]: job
        for job in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    }

    scraped = {
        (one["labels"]["app"], *one["targets"]) for one in jobs["fengping"]["static_configs"]
    }

    assert scraped == {(service, f"{service}:8081") for service in SERVICES}


def test_prometheus_in_kubernetes_has_the_same_jobs_and_rules(tmp_path):
    compose, cluster = (
        yaml.safe_load((PROMETHEUS / name).read_text())
        for name in ("prometheus.yml", "kubernetes.yml")
    )
    # Debian builds promtool without the Kubernetes discovery: the rest of the file is checked
    # without it.
    rest = json.loads(json.dumps(cluster))
    for job in rest["scrape_configs"]:
        job.pop("kubernetes_sd_configs", None)
    (tmp_path / "kubernetes.yml").write_text(yaml.safe_dump(rest))
    (tmp_path / "rules").symlink_to(PROMETHEUS / "rules")

    output_of("promtool", "check", "config", tmp_path / "kubernetes.yml")

    assert cluster["rule_files"] == compose["rule_files"]
    names = {job["job_name"] for job in compose["scrape_configs"]} - {"alertmanager"}
    assert {job["job_name"] for job in cluster["scrape_configs"]} == names
    assert all(
        job.get("honor_labels")
        for file in (compose, cluster)
        for job in file["scrape_configs"]
        if job["job_name"] == "fengping"
    )


RECEIVERS = {
    "nobody": {},
    "webhooks": {
        "ALERT_PAGE_WEBHOOK": "https://alerts.example/p?key=a'b&c",
        "ALERT_HEARTBEAT_WEBHOOK": "https://alerts.example/h",
    },
    "mail": {
        "ALERT_MAIL_TO": "duty@office.example",
        "ALERT_MAIL_FROM": "fengping@office.example",
        "ALERT_SMTP": "mail.office.example:587",
        "ALERT_SMTP_USER": "fengping",
        "ALERT_SMTP_PASSWORD": "it's $ecret: #1",
    },
}


def written(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(PROMETHEUS / "alertmanager.sh"), str(PROMETHEUS / "alertmanager.yml")]
    return subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("name", RECEIVERS)
def test_alertmanager_configuration_is_valid_in_every_environment(name, tmp_path):
    file = tmp_path / "alertmanager.yml"
    file.write_text(written(RECEIVERS[name]).stdout, encoding="utf-8")

    output_of("amtool", "check-config", file)

    receivers = {
        one.pop("name"): one
        for one in yaml.safe_load(file.read_text(encoding="utf-8"))["receivers"]
    }
    assert bool(receivers["page"]) == (name != "nobody")
    if name == "webhooks":
        assert (
            receivers["page"]["webhook_configs"][0]["url"] == "https://alerts.example/p?key=a'b&c"
        )
    if name == "mail":
        assert receivers["page"] == receivers["ticket"]
        assert receivers["page"]["email_configs"][0]["auth_password"] == "it's $ecret: #1"
        assert not receivers["heartbeat"]


def test_mail_receiver_without_a_server_is_rejected_at_the_start():
    refused = written({"ALERT_MAIL_TO": "duty@office.example"})

    assert refused.returncode != 0
    assert "ALERT_SMTP" in refused.stderr


@pytest.mark.parametrize(
    ("severity", "receiver"), [("page", "page"), ("ticket", "ticket"), ("none", "heartbeat")]
)
def test_an_alert_reaches_the_receiver_of_its_severity(severity, receiver):
    routed = output_of(
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={PROMETHEUS / 'alertmanager.yml'}",
        f"severity={severity}",
    )

    assert routed.strip() == receiver
