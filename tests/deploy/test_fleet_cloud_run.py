"""The Cloud Run files for many clinics, as ``fleet.sh`` would hand them to Google."""

import re
import shutil
import subprocess
import sysconfig
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cronsim import CronSim

from tests.deploy import gcloud
from tests.deploy.fleet import SCHEDULES, clinics_for
from tests.deploy.google_schemas import problems
from tests.deploy.program import DEPLOY, NAMES, SECRET, parse, settings_from

FOLDER = DEPLOY / "cloud-run"
SCRIPT = FOLDER / "fleet.sh"
README = (DEPLOY / "README.md").read_text("utf-8")
STEPS = ["accounts", "image", "clinics", "jobs", "upgrade", "check", "triggers", "alerts", "calls"]

#: Every how many seconds each starts; None: when a person wants it.
PERIODS = {
    "72h": 3600,
    "24h": 3600,
    "2h": 3600,
    "no-show": 3600,
    "replies": 600,
    "calls": 900,
    "check": None,
    "upgrade": None,
}


def step(tmp_path: Path, name: str, **more: Any) -> gcloud.Called:
    """Run a step of Cloud Run's script, with two clinics in its folder."""
    clinics = tmp_path / "two clinics"
    clinics.mkdir(exist_ok=True)
    for clinic in ("centro", "norte"):
        (clinics / f"{clinic}.env").touch()
    more.setdefault("CLINICS", str(clinics))
    return gcloud.run(tmp_path, name, script=SCRIPT, example="fleet.env.example", **more)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each job of Cloud Run as it is handed to Google, by its name without the beginning."""
    files = step(tmp_path_factory.mktemp("jobs"), "jobs", TASKS="3", PARALLEL="5").rendered
    files |= step(tmp_path_factory.mktemp("calls"), "calls", TASKS="3", PARALLEL="5").rendered
    return {name.removeprefix("fleet-"): yaml.safe_load(text) for name, text in files.items()}


def test_the_script_has_no_lint() -> None:
    shellcheck = shutil.which("shellcheck", path=sysconfig.get_path("scripts"))
    assert shellcheck is not None

    linted = subprocess.run(
        [shellcheck, "--external-sources", SCRIPT.name],
        cwd=FOLDER,
        capture_output=True,
        text=True,
    )

    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.parametrize("name", PERIODS)
def test_google_knows_every_field_and_the_program_every_word(
    jobs: dict[str, Any], name: str
) -> None:
    job = jobs[name]

    command = parse(gcloud.container(job)["args"])

    assert problems("run.v1", "Job", job) == []
    assert job["metadata"]["name"] == f"smartia-jobs-fleet-{name}"
    assert command == ("fleet db upgrade" if name == "upgrade" else f"fleet {name}")
    assert jobs.keys() == PERIODS.keys()


@pytest.mark.parametrize("name", PERIODS)
def test_the_tasks_share_the_clinics_and_run_at_one_time(jobs: dict[str, Any], name: str) -> None:
    spec = jobs[name]["spec"]["template"]["spec"]
    arguments = gcloud.container(jobs[name])["args"]

    assert (spec["taskCount"], spec["parallelism"]) == (3, 3)
    assert arguments[arguments.index("--parallel") + 1] == "5"
    assert "--shard" not in arguments  # Cloud Run's own variables say it


@pytest.mark.parametrize("name", PERIODS)
def test_the_environment_is_one_that_a_fleet_takes(
    jobs: dict[str, Any], name: str, tmp_path: Path
) -> None:
    given = {entry["name"]: entry["value"] for entry in gcloud.container(jobs[name])["env"]}
    beside = {"CLOUD_RUN_JOB": jobs[name]["metadata"]["name"], "CLOUD_RUN_TASK_COUNT": "3"}

    (clinic,) = clinics_for(tmp_path, given | beside).all

    assert given.keys() <= NAMES - SECRET
    assert given["QUIET_HOURS"] == clinic.given.texts["QUIET_HOURS"]
    settings_from(clinic.given.texts)


@pytest.mark.parametrize("name", PERIODS)
def test_the_clinics_files_are_this_user_s_to_read_and_nobody_s_to_write(
    jobs: dict[str, Any], name: str
) -> None:
    container = gcloud.container(jobs[name])
    path = container["args"][container["args"].index("--clinics") + 1]
    (mount,) = (one["name"] for one in container["volumeMounts"] if one["mountPath"] == path)
    (volume,) = (one["csi"] for one in gcloud.task(jobs[name])["volumes"] if one["name"] == mount)

    user = re.search(r"^USER (\d+)$", (DEPLOY.parent / "Dockerfile").read_text("utf-8"), re.M)
    assert user is not None
    assert volume["driver"] == "gcsfuse.run.googleapis.com"
    assert volume["readOnly"] is True
    assert volume["volumeAttributes"] == {
        "bucketName": "my-project-clinics",
        "mountOptions": f"uid={user[1]},gid={user[1]},file-mode=400,dir-mode=500",
    }


@pytest.mark.parametrize(("name", "period_s"), PERIODS.items())
def test_a_run_ends_with_its_retries_before_the_next_begins(
    jobs: dict[str, Any], name: str, period_s: int | None
) -> None:
    spec = gcloud.task(jobs[name])
    arguments = gcloud.container(jobs[name])["args"]
    given = re.search(r"--time-limit[=,](\d+)", ",".join(arguments))
    limit_s = int(given[1]) if given else 600

    assert 2 * limit_s < spec["timeoutSeconds"]  # two that hang in one row
    assert period_s is None or (spec["maxRetries"] + 1) * spec["timeoutSeconds"] < period_s


def test_an_image_by_tag_is_refused(tmp_path: Path) -> None:
    called = step(tmp_path, "jobs", status=1, IMAGE="registry.example/smartia-jobs:latest")

    assert called.calls == []
    assert "digest" in called.said


def test_the_triggers_start_what_may_be_started(tmp_path: Path) -> None:
    starter = "--member=serviceAccount:smartia-jobs-trigger@my-project.iam.gserviceaccount.com"

    made = [*step(tmp_path, "triggers").calls, *step(tmp_path, "calls").calls]
    allowed = [*step(tmp_path, "jobs").calls, *step(tmp_path, "calls").calls]

    triggers = {
        call[4]: (call[6], call[7], call[8])
        for call in made
        if call[:4] == ["scheduler", "jobs", "create", "http"]
    }
    assert triggers == {
        f"smartia-jobs-fleet-{name}": (
            f"--schedule={SCHEDULES[name]}",
            "--time-zone=Etc/UTC",
            "--uri=https://run.googleapis.com/v2/projects/my-project/locations/southamerica-east1"
            f"/jobs/smartia-jobs-fleet-{name}:run",
        )
        for name in ("24h", "2h", "no-show", "replies", "calls")
    }
    may = {call[3] for call in allowed if starter in call and "--role=roles/run.invoker" in call}
    assert may == triggers.keys() | {"smartia-jobs-fleet-72h"}
    for schedule in SCHEDULES.values():
        CronSim(schedule, datetime(2026, 11, 23, tzinfo=UTC))


def test_three_days_ahead_is_a_line_whose_mark_is_taken_away() -> None:
    (line,) = re.findall(r"^    # (trigger .+)$", SCRIPT.read_text("utf-8"), re.M)

    assert line == f"trigger fleet-72h '{SCHEDULES['72h']}' Etc/UTC"


def test_the_files_go_into_a_bucket_that_only_the_jobs_read(tmp_path: Path) -> None:
    called = step(tmp_path, "clinics")

    (made,) = called.of("storage", "buckets", "create")
    (granted,) = called.of("storage", "buckets", "add-iam-policy-binding")
    (copied,) = called.of("storage", "rsync")
    assert made[3] == "gs://my-project-clinics"
    assert {"--public-access-prevention", "--uniform-bucket-level-access"} <= set(made)
    assert granted[4:] == [
        "--member=serviceAccount:smartia-jobs@my-project.iam.gserviceaccount.com",
        "--role=roles/storage.objectViewer",
    ]
    assert copied[2:] == [
        str(tmp_path / "two clinics"),
        "gs://my-project-clinics",
        "--delete-unmatched-destination-objects",
    ]


def test_a_folder_without_a_clinic_deletes_none_in_the_bucket(tmp_path: Path) -> None:
    called = step(tmp_path, "clinics", status=1, CLINICS=str(tmp_path / "mistyped"))

    assert called.calls == []
    assert "mistyped" in called.said


def test_each_reception_reads_its_own_page_alone(tmp_path: Path) -> None:
    called = step(
        tmp_path, "calls", CALLS_READERS="centro=group:c@x.example norte=user:n@x.example"
    )

    runner, *readers = called.of("storage", "buckets", "add-iam-policy-binding")
    assert runner[4:] == [
        "--member=serviceAccount:smartia-jobs@my-project.iam.gserviceaccount.com",
        "--role=roles/storage.objectUser",
        "--condition=None",
    ]
    assert [call[4:] for call in readers] == [
        [
            f"--member={member}",
            "--role=roles/storage.objectViewer",
            f"--condition=title={clinic},expression=resource.name == "
            f"'projects/_/buckets/my-project-receptions/objects/{clinic}.html'",
        ]
        for clinic, member in (("centro", "group:c@x.example"), ("norte", "user:n@x.example"))
    ]


@pytest.mark.parametrize("readers", ["group:c@x.example", "centro=c@x.example", "Centro=user:c@x"])
def test_a_reader_of_no_clinic_is_refused_before_anything_is_done(
    tmp_path: Path, readers: str
) -> None:
    called = step(tmp_path, "calls", status=1, CALLS_READERS=readers)

    assert called.calls == []
    assert readers in called.said


def test_the_page_goes_where_the_bucket_is_mounted(jobs: dict[str, Any]) -> None:
    container = gcloud.container(jobs["calls"])
    output = Path(container["args"][container["args"].index("--output") + 1])

    (mount,) = (
        m["name"] for m in container["volumeMounts"] if m["mountPath"] == str(output.parent)
    )
    (volume,) = (v["csi"] for v in gcloud.task(jobs["calls"])["volumes"] if v["name"] == mount)
    assert output.name == "{clinic}.html"  # by which the bucket tells a browser what it is
    assert volume["volumeAttributes"]["bucketName"] == "my-project-receptions"


def test_a_fleet_that_did_not_run_is_told_whatever_its_clinics_are_like(tmp_path: Path) -> None:
    policy = yaml.safe_load((FOLDER / "fleet" / "not-run.yaml").read_text("utf-8"))

    made = step(tmp_path, "alerts").of("monitoring", "policies", "create")

    queries = [one["conditionPrometheusQueryLanguage"]["query"] for one in policy["conditions"]]
    watched = [re.findall(r'job_name="smartia-jobs-fleet-([\w-]+)"', query) for query in queries]
    assert watched == [["24h"], ["2h"], ["no-show"], ["replies"]]
    assert not any("result=" in query for query in queries)
    assert problems("monitoring.v3", "AlertPolicy", policy) == []
    assert {call[3] for call in made} == {
        "--policy-from-file=alerts/failed-execution.yaml",
        "--policy-from-file=alerts/trigger-refused.yaml",
        "--policy-from-file=fleet/not-run.yaml",
    }


def test_upgrade_and_check_wait_for_the_end(tmp_path: Path) -> None:
    for name in ("upgrade", "check"):
        (call,) = step(tmp_path, name).calls
        assert call[:3] == ["run", "jobs", "execute"]
        assert call[3:] == [f"smartia-jobs-fleet-{name}", "--region=southamerica-east1", "--wait"]


def test_placeholders_settings_and_script_name_the_same() -> None:
    files = "".join(path.read_text("utf-8") for path in (FOLDER / "fleet").glob("*.yaml"))
    used = set(re.findall(r"\$\{(\w+)\}", files))
    example = re.findall(r"^(\w+)=", (FOLDER / "fleet.env.example").read_text("utf-8"), re.M)
    script = SCRIPT.read_text("utf-8")
    (asked,) = re.findall(r"^asked=\((.*?)\)", script, re.M | re.S)
    (own,) = re.findall(r'^placeholders=\("\$\{asked\[@\]\}" (.*?)\)', script, re.M)
    (others,) = re.findall(r'^    read_settings fleet\.env "\$\{asked\[@\]\}" (.*)$', script, re.M)

    assert used == set(asked.split()) | set(own.split())
    assert set(example) == set(asked.split()) | set(others.split())


def test_the_steps_stand_in_the_readme_in_their_order(tmp_path: Path) -> None:
    (usage,) = re.findall(r"^#   \./fleet\.sh (.+)$", SCRIPT.read_text("utf-8"), re.M)

    assert re.findall(r"^\| `\./fleet\.sh (\w+)` \|", README, re.M) == STEPS
    assert usage.split(" | ") == STEPS
    assert "triggers" in step(tmp_path, "webhook", status=2).said
