"""Kubernetes' Indexed Jobs for many clinics, against its schemas and against the program."""

import json
from collections.abc import Iterator
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from smartia_jobs.errors import ExitStatus
from smartia_jobs.fleet.choice import Shard, shard_of
from smartia_jobs.fleet.report import ClinicEnd, FleetReport
from smartia_jobs.outbox.dispatcher import SHUTDOWN_S
from smartia_jobs.settings.clinics import read_clinics
from smartia_jobs.settings.environment import understand
from tests.deploy.fleet import SCHEDULES, clinics_for
from tests.deploy.program import DEPLOY, NAMES, SECRET, parse, settings_from
from tests.deploy.statuses import FINAL

FOLDER = DEPLOY / "kubernetes"

#: Running again helps (the README's table).
HELPS = {int(ExitStatus.UNAVAILABLE), int(ExitStatus.RETRY)}


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / name).read_text("utf-8")))


SHARED, *FLEET = documents("fleet.yaml")
CLAIM, CALLS = documents("fleet-calls.yaml")
(UPGRADE,) = documents("fleet-upgrade.yaml")
CRON_JOBS = {one["metadata"]["name"].removeprefix("smartia-fleet-"): one for one in [*FLEET, CALLS]}


def pod(job: Any) -> Any:
    return job["spec"].get("jobTemplate", job)["spec"]["template"]["spec"]


def only_container(job: Any) -> Any:
    (container,) = pod(job)["containers"]
    return container


@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("document", [SHARED, *FLEET, CLAIM, CALLS, UPGRADE])
def test_kubernetes_accepts_every_file(document: Any, version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_every_cron_job_runs_its_command_when_cloud_run_s_does() -> None:
    found = {
        name: (parse(only_container(one)["args"]), one["spec"]["schedule"], one["spec"]["timeZone"])
        for name, one in CRON_JOBS.items()
    }

    assert found == {name: (f"fleet {name}", when, "Etc/UTC") for name, when in SCHEDULES.items()}
    assert [name for name, one in CRON_JOBS.items() if one["spec"].get("suspend")] == ["72h"]


@pytest.mark.parametrize("name", CRON_JOBS)
def test_the_pods_share_the_clinics_among_them(name: str) -> None:
    spec = CRON_JOBS[name]["spec"]["jobTemplate"]["spec"]
    (variable,) = only_container(CRON_JOBS[name])["env"]
    given = {variable["name"]: variable["value"]}

    parts = [
        shard_of({**given, "JOB_COMPLETION_INDEX": str(index)})
        for index in range(spec["completions"])
    ]

    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"]
    assert parts == [Shard(index, spec["completions"]) for index in range(spec["completions"])]


def _rule(job: Any, status: int) -> str:
    """Return what Kubernetes does when a pod ends with this status: its first rule that fits."""
    for rule in job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]:
        if status in rule.get("onExitCodes", {}).get("values", []):
            action: str = rule["action"]
            return action
    return "by default"


@pytest.mark.parametrize("name", CRON_JOBS)
def test_each_exit_status_is_decided_as_the_program_means_it(name: str) -> None:
    spec = CRON_JOBS[name]["spec"]["jobTemplate"]["spec"]

    decided: dict[str, set[int]] = {}
    for status in ExitStatus:
        decided.setdefault(_rule(CRON_JOBS[name], status), set()).add(int(status))

    assert decided == {
        "FailIndex": FINAL,
        "Count": HELPS,
        # Success; and ended from outside, which counts unless the node's trouble was the reason.
        "by default": {ExitStatus.OK, ExitStatus.INTERRUPTED, ExitStatus.TERMINATED},
    }
    assert FINAL | HELPS | decided["by default"] == {int(status) for status in ExitStatus}
    for rule in spec["podFailurePolicy"]["rules"]:
        if "onExitCodes" in rule:
            assert rule["onExitCodes"]["values"] == sorted(rule["onExitCodes"]["values"])
            assert rule["onExitCodes"]["containerName"] == only_container(CRON_JOBS[name])["name"]
    assert [r["action"] for r in spec["podFailurePolicy"]["rules"] if "onPodConditions" in r] == [
        "Ignore"
    ]
    # Without these Kubernetes takes neither FailIndex nor any policy.
    assert spec["backoffLimitPerIndex"] > 0
    assert pod(CRON_JOBS[name])["restartPolicy"] == "Never"


@pytest.mark.parametrize(
    "statuses",
    list(
        combinations_with_replacement(
            [s for s in ExitStatus if s not in (ExitStatus.INTERRUPTED, ExitStatus.TERMINATED)], 2
        )
    ),
)
def test_a_part_is_tried_again_exactly_when_that_helps_one_of_its_clinics(
    statuses: tuple[ExitStatus, ...],
) -> None:
    report = FleetReport("2h", False, Shard(), (), ())
    report.ends = [ClinicEnd(str(n), status, {}, "", 0) for n, status in enumerate(statuses)]

    action = _rule(CRON_JOBS["2h"], report.exit_status)

    if HELPS & set(statuses):
        assert action == "Count"
    elif set(statuses) == {ExitStatus.OK}:
        assert report.exit_status == 0
    else:
        assert action == "FailIndex"


def _laid_out_as_a_secret(folder: Path, files: dict[str, str]) -> None:
    """Lay files out as Kubernetes does: links, by way of one that it can change at once."""
    stamp = folder / "..2026_11_28_12_00_00.1234567890"
    stamp.mkdir(parents=True)
    (folder / "..data").symlink_to(stamp.name)
    for name, text in files.items():
        (stamp / name).write_text(text)
        (folder / name).symlink_to(f"..data/{name}")


def test_a_secret_that_is_mounted_is_a_folder_of_clinics(tmp_path: Path) -> None:
    own = "DATABASE_URL=postgresql://u:p@db/{name}\nMETA_ACCESS_TOKEN_FILE=token\n"
    own += "META_PHONE_NUMBER_ID=1\nCLINIC_TIMEZONE=America/Manaus\n"
    files = {f"{name}.env": own.format(name=name) for name in ("centro", "norte")}
    _laid_out_as_a_secret(tmp_path / "clinics", {**files, "token": "t"})

    found = read_clinics(tmp_path / "clinics", SHARED["data"])

    assert [clinic.name for clinic in found.all] == ["centro", "norte"]
    for clinic in found.all:
        assert str(understand(clinic.given).clinic_timezone) == "America/Manaus"


@pytest.mark.parametrize("name", CRON_JOBS)
def test_what_the_pods_share_is_what_a_fleet_takes(name: str, tmp_path: Path) -> None:
    assert only_container(CRON_JOBS[name])["envFrom"] == [
        {"configMapRef": {"name": SHARED["metadata"]["name"]}}
    ]
    assert SHARED["data"].keys() <= NAMES - SECRET
    (clinic,) = clinics_for(tmp_path, SHARED["data"]).all
    settings_from(clinic.given.texts)


def _containers() -> Iterator[tuple[Any, Any]]:
    for job in [*CRON_JOBS.values(), UPGRADE]:
        for container in [*pod(job).get("initContainers", ()), *pod(job)["containers"]]:
            yield pod(job), container


@pytest.mark.parametrize(("its_pod", "container"), list(_containers()))
def test_a_pod_reads_the_clinics_and_writes_only_what_it_must(its_pod: Any, container: Any) -> None:
    mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in its_pod["volumes"]}
    arguments = container["args"]

    clinics = mounts[arguments[arguments.index("--clinics") + 1]]
    assert clinics["readOnly"] is True
    assert volumes[clinics["name"]]["secret"] == {
        "secretName": "smartia-clinics",
        "defaultMode": 0o440,
    }
    assert its_pod["securityContext"]["fsGroup"] == its_pod["securityContext"]["runAsUser"]
    assert volumes[mounts["/tmp"]["name"]]["emptyDir"]["medium"] == "Memory"  # noqa: S108
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert its_pod["securityContext"]["runAsNonRoot"]
    assert its_pod["terminationGracePeriodSeconds"] > SHUTDOWN_S
    assert container["image"] == "${IMAGE}"
    if "--output" in arguments:
        output = Path(arguments[arguments.index("--output") + 1])
        volume = volumes[mounts[str(output.parent)]["name"]]
        assert volume["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
        assert output.name == "{clinic}.html"


def test_the_cron_jobs_differ_in_nothing_but_what_they_run_and_when() -> None:
    plain = set()
    for name, job in CRON_JOBS.items():
        text = json.loads(json.dumps(job))
        container = only_container(text)
        container["args"] = "…"
        text["metadata"]["name"] = text["spec"]["schedule"] = "…"
        text["spec"].pop("suspend", None)
        if name == "calls":
            del container["volumeMounts"][2], pod(text)["volumes"][2]
        plain.add(json.dumps(text, sort_keys=True))

    assert len(plain) == 1


def test_a_job_ends_before_the_next_hour_s_begins_and_its_name_is_short_enough() -> None:
    for job in CRON_JOBS.values():
        assert job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 3600
        # https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ (2026-11)
        assert len(job["metadata"]["name"]) <= 52


def test_an_upgrade_is_of_all_clinics_and_the_check_comes_behind_it() -> None:
    (upgrade,) = pod(UPGRADE)["initContainers"]

    assert parse(upgrade["args"]) == "fleet db upgrade"
    assert parse(only_container(UPGRADE)["args"]) == "fleet check"
    assert UPGRADE["spec"]["backoffLimit"] == 0
