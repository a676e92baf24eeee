"""The Kubernetes files, against Kubernetes' own schemas and against the program."""

import re
from datetime import UTC, datetime
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cronsim import CronSim

from smartia_jobs.errors import ExitStatus
from tests.deploy.program import DEPLOY, NAMES, SECRET, parse, settings_from
from tests.deploy.statuses import FINAL

FOLDER = DEPLOY / "kubernetes"


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / name).read_text("utf-8")))


CRON_JOBS = {one["metadata"]["name"]: one for one in documents("cronjobs.yaml")}
(UPGRADE,) = documents("upgrade.yaml")
(SETTINGS,) = documents("settings.yaml")
WEBHOOK = documents("webhook.yaml")
CLAIM, CALLS = documents("calls.yaml")


def pod(job: Any) -> Any:
    return job["spec"].get("jobTemplate", job)["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
@pytest.mark.parametrize(
    "document", [*CRON_JOBS.values(), UPGRADE, SETTINGS, *WEBHOOK, CLAIM, CALLS]
)
def test_kubernetes_accepts_every_file(document: Any, version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_the_schedules_are_cloud_run_s() -> None:
    schedules = {
        name: (one["spec"]["schedule"], one["spec"]["timeZone"]) for name, one in CRON_JOBS.items()
    }

    assert schedules == {
        "smartia-jobs-24h": ("0 9 * * *", "America/Sao_Paulo"),
        "smartia-jobs-2h": ("10 * * * *", "Etc/UTC"),
        "smartia-jobs-no-show": ("40 * * * *", "Etc/UTC"),
        "smartia-jobs-replies": ("*/5 * * * *", "Etc/UTC"),
        "smartia-jobs-72h": ("5 9 * * *", "America/Sao_Paulo"),
    }
    script = (DEPLOY / "cloud-run" / "gcloud.sh").read_text("utf-8")
    triggers = re.findall(r"^    (?:# )?trigger (\S+) '(.+?)'", script, re.M)
    hourly = ("smartia-jobs-24h", "0 9-17 * * *")
    assert {
        (f"smartia-jobs-{job}", when) for job, when in triggers if job not in ("metrics", "calls")
    } == {
        hourly,
        *((name, when) for name, (when, _) in schedules.items()),
    }
    for when, _ in schedules.values():
        CronSim(when, datetime(2026, 11, 23, tzinfo=UTC))


def test_what_costs_a_message_or_is_of_no_use_yet_is_off_at_first() -> None:
    text = (FOLDER / "cronjobs.yaml").read_text("utf-8")

    hourly = text.replace('  schedule: "0 9 * * *"\n', "", 1).replace(
        '  # schedule: "0 9-17 * * *"\n', '  schedule: "0 9-17 * * *"\n'
    )

    suspended = [name for name, one in CRON_JOBS.items() if one["spec"].get("suspend")]
    assert suspended == ["smartia-jobs-72h"]
    repeated = next(iter(yaml.safe_load_all(hourly)))
    assert repeated["metadata"]["name"] == "smartia-jobs-24h"
    assert repeated["spec"]["schedule"] == "0 9-17 * * *"
    kubernetes_validate.validate(repeated, "1.31", strict=True)
    CronSim("0 9-17 * * *", datetime(2026, 11, 23, tzinfo=UTC))


def test_every_job_runs_its_command() -> None:
    commands = {name: parse(pod(one)["containers"][0]["args"]) for name, one in CRON_JOBS.items()}

    assert commands == {f"smartia-jobs-{command}": command for command in commands.values()}
    assert parse(pod(UPGRADE)["containers"][0]["args"]) == "db upgrade"


def test_a_job_fails_at_once_for_exits_that_no_retry_mends() -> None:
    for job in CRON_JOBS.values():
        rule = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"][0]

        assert rule["action"] == "FailJob"
        assert rule["onExitCodes"]["values"] == sorted(FINAL)
        assert rule["onExitCodes"]["containerName"] == pod(job)["containers"][0]["name"]
        assert pod(job)["restartPolicy"] == "Never"


def test_the_jobs_differ_in_nothing_but_what_they_run_and_when() -> None:
    plain = []
    for job in CRON_JOBS.values():
        text = yaml.safe_dump(job).replace("  suspend: true\n", "").replace("'", "")
        for word in (job["metadata"]["name"], job["spec"]["schedule"], job["spec"]["timeZone"]):
            text = text.replace(word, "…")
        plain.append(re.sub(r"- (72h|24h|2h|replies|no-show)$", "- …", text, flags=re.M))

    assert len(set(plain)) == 1
    one = next(iter(CRON_JOBS.values()))
    differing = {"restartPolicy", "containers"}
    assert {k: v for k, v in pod(UPGRADE).items() if k not in differing} == {
        k: v for k, v in pod(one).items() if k not in differing
    }


def test_nothing_may_be_written_and_nothing_be_gained() -> None:
    for job in [*CRON_JOBS.values(), UPGRADE, WEBHOOK[0], CALLS]:
        (container,) = pod(job)["containers"]

        assert pod(job)["securityContext"]["runAsNonRoot"]
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["image"] == "${IMAGE}"


def test_the_reception_s_page_is_written_into_a_folder_of_its_own() -> None:
    (container,) = pod(CALLS)["containers"]
    (mount,), (volume,) = container["volumeMounts"], pod(CALLS)["volumes"]
    output = container["args"][container["args"].index("--output") + 1]

    assert parse(container["args"]) == "calls"
    assert output.startswith(f"{mount['mountPath']}/")
    assert mount["name"] == volume["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
    assert pod(CALLS)["securityContext"]["fsGroup"] == pod(CALLS)["securityContext"]["runAsUser"]
    assert CALLS["spec"]["schedule"] == "*/15 * * * *"
    assert CALLS["spec"]["timeZone"] == "Etc/UTC"
    differing = {"volumes", "containers", "securityContext"}
    jobs = [
        {k: v for k, v in pod(job).items() if k not in differing}
        for job in (CALLS, next(iter(CRON_JOBS.values())))
    ]
    assert jobs[0] == jobs[1]


def test_the_webhook_is_reached_at_its_one_path_and_has_a_secret_of_its_own() -> None:
    deployment, service, ingress = WEBHOOK
    (container,) = pod(deployment)["containers"]

    assert parse(container["args"]) == "serve"
    assert {entry["name"] for entry in container["env"]} - {"PORT", "K_SERVICE"} <= NAMES - SECRET
    assert container["envFrom"] == [{"secretRef": {"name": "smartia-webhook"}}]
    named = {
        k for k in ("livenessProbe", "readinessProbe") if container[k]["httpGet"]["port"] == "http"
    }
    assert named == {"livenessProbe", "readinessProbe"}
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["path"] == "/webhook"
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    text = (FOLDER / "webhook.yaml").read_text("utf-8")
    assert {"DATABASE_URL", *re.findall(r"--from-file=(\w+)", text)} <= SECRET


def test_a_run_that_is_stopped_has_time_to_record_what_it_knows() -> None:
    from smartia_jobs.outbox.dispatcher import SHUTDOWN_S

    for job in CRON_JOBS.values():
        assert pod(job)["terminationGracePeriodSeconds"] > SHUTDOWN_S


def test_the_settings_are_good_ones_and_hold_no_secret() -> None:
    data = SETTINGS["data"]
    text = (FOLDER / "settings.yaml").read_text("utf-8")
    secrets = set(re.findall(r"--from-file=(\w+)", text))

    assert data.keys() <= NAMES - SECRET
    assert secrets <= SECRET
    settings_from(
        data | {"DATABASE_URL": "postgresql://u:p@db/smartia", "META_ACCESS_TOKEN": "a-token"}
    )
    for job in CRON_JOBS.values():
        (container,) = pod(job)["containers"]
        assert container["envFrom"] == [
            {"configMapRef": {"name": SETTINGS["metadata"]["name"]}},
            {"secretRef": {"name": "smartia-jobs"}},
        ]


def test_the_exits_that_no_retry_mends_are_those_of_the_readme() -> None:
    readme = (DEPLOY.parent / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| .+ \| no", readme, re.M)

    assert {int(row) for row in rows} - {0} == FINAL
    assert {int(status) for status in ExitStatus} - FINAL == {0, 69, 75, 130, 143}
