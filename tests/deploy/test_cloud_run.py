"""The Cloud Run files, as ``gcloud.sh`` would hand them to Google."""

import re
import shutil
import subprocess
import sysconfig
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from cronsim import CronSim

from smartia_jobs.report import Report
from tests.deploy.gcloud import DIGEST, FOLDER, container, run, task
from tests.deploy.google_schemas import problems
from tests.deploy.program import DEPLOY, NAMES, SECRET, parse, settings_from

JOBS = ["72h", "24h", "2h", "replies", "no-show", "metrics", "check", "upgrade"]
STEPS = [
    "accounts",
    "image",
    "secrets",
    "jobs",
    "upgrade",
    "check",
    "triggers",
    "alerts",
    "webhook",
    "http",
    "token",
    "calls",
]
README = (DEPLOY / "README.md").read_text("utf-8")

_AN_INSTANT = datetime(2026, 11, 23, 12, tzinfo=UTC)

#: What the one line at a run's end holds.
_CLOSING_LINE = {
    "event",
    *Report("2h", "run", _AN_INSTANT, "America/Sao_Paulo").as_json(),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each job as it is handed to Google."""
    files = run(tmp_path_factory.mktemp("jobs"), "jobs").rendered
    return {name: yaml.safe_load(text) for name, text in files.items()}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each service as it is handed to Google."""
    found = {}
    for step in ("webhook", "http"):
        text = run(tmp_path_factory.mktemp(step), step).rendered[step]
        found[step] = yaml.safe_load(text)
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The job that writes the reception's page, as it is handed to Google."""
    return yaml.safe_load(run(tmp_path_factory.mktemp("calls"), "calls").rendered["calls"])


def test_the_scripts_have_no_lint() -> None:
    shellcheck = shutil.which("shellcheck", path=sysconfig.get_path("scripts"))
    assert shellcheck is not None
    ci = DEPLOY.parent / ".ci" / "run"

    linted = subprocess.run([shellcheck, FOLDER / "gcloud.sh", ci], capture_output=True, text=True)

    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.parametrize("name", JOBS)
def test_google_knows_every_field_of_a_job(rendered: dict[str, Any], name: str) -> None:
    job = rendered[name]

    assert (job["apiVersion"], job["kind"]) == ("run.googleapis.com/v1", "Job")
    assert problems("run.v1", "Job", job) == []


def test_the_check_against_google_s_schemas_notices(rendered: dict[str, Any]) -> None:
    wrong = {
        "metadata": {"nmae": "x"},
        "spec": {"template": {"spec": {"taskCount": "1", "maxRetries": 1}}},
    }

    assert problems("run.v1", "Job", wrong) == [
        "Job.metadata has no nmae",
        "Job.spec.template.spec.taskCount cannot be '1'",
        "Job.spec.template.spec has no maxRetries",
    ]


@pytest.mark.parametrize("name", JOBS)
def test_every_job_runs_a_command_of_the_program(rendered: dict[str, Any], name: str) -> None:
    command = parse(container(rendered[name])["args"])

    assert rendered[name]["metadata"]["name"] == f"smartia-jobs-{name}"
    assert command == ("db upgrade" if name == "upgrade" else name)


@pytest.mark.parametrize("name", JOBS)
def test_every_job_s_settings_are_good_ones_and_its_secrets_references(
    rendered: dict[str, Any], name: str
) -> None:
    given = {entry["name"]: entry for entry in container(rendered[name])["env"]}

    secret = {n for n, entry in given.items() if "valueFrom" in entry}
    assert given.keys() <= NAMES
    assert secret == given.keys() & SECRET
    for entry in (given[n]["valueFrom"]["secretKeyRef"] for n in secret):
        assert re.fullmatch(r"[1-9]\d*", entry["key"])  # a pinned version, as a string
    environment = {n: entry.get("value", "a-token") for n, entry in given.items()}
    environment["DATABASE_URL"] = "postgresql://u:p@/smartia?host=/cloudsql/p:r:i"
    settings = settings_from(environment | {"CLOUD_RUN_JOB": f"smartia-jobs-{name}"})
    assert settings.clinic_timezone == ZoneInfo("America/Sao_Paulo")


def test_all_jobs_are_the_same_image_by_digest(rendered: dict[str, Any]) -> None:
    images = {container(job)["image"] for job in rendered.values()}

    (image,) = images
    assert image.endswith(f"@{DIGEST}")
    assert rendered.keys() == set(JOBS)


def test_an_image_by_tag_is_refused(tmp_path: Path) -> None:
    called = run(tmp_path, "jobs", status=1, IMAGE="registry.example/smartia-jobs:latest")

    assert called.calls == []
    assert "digest" in called.said


@pytest.mark.parametrize("name", ["2h", "no-show"])
def test_an_hourly_job_ends_before_the_next_begins(rendered: dict[str, Any], name: str) -> None:
    spec = task(rendered[name])

    assert (spec["maxRetries"] + 1) * int(spec["timeoutSeconds"]) < 3600


def test_the_clinic_s_name_may_hold_any_character(tmp_path: Path) -> None:
    name = r'Clínica "Aurora" & Filhos \ ${IMAGE} {x: [y]} #1 /'

    called = run(tmp_path, "jobs", CLINIC_NAME=name)

    for text in called.rendered.values():
        entries = container(yaml.safe_load(text))["env"]
        (value,) = (entry["value"] for entry in entries if entry["name"] == "CLINIC_NAME")
        assert value == name


def test_placeholders_settings_and_script_name_the_same() -> None:
    files = "".join(path.read_text("utf-8") for path in FOLDER.glob("*.yaml"))
    used = set(re.findall(r"\$\{(\w+)\}", files))
    example = re.findall(r"^(\w+)=", (FOLDER / "clinic.env.example").read_text("utf-8"), re.M)
    script = (FOLDER / "gcloud.sh").read_text("utf-8")
    (listed,) = re.findall(r"^placeholders=\((.*?)\)", script, re.M | re.S)

    assert used == set(listed.split())
    assert set(example) == used | {"NOTIFICATION_CHANNEL", "JOBS_URL", "CALLS_READERS"}


def test_the_steps_stand_in_the_readme_in_their_order() -> None:
    script = (FOLDER / "gcloud.sh").read_text("utf-8")
    (usage,) = re.findall(r"^#   \./gcloud\.sh (.+)$", script, re.M)

    assert re.findall(r"^\| `\./gcloud\.sh (\w+)` \|", README, re.M) == STEPS
    assert usage.split(" | ") == STEPS


@pytest.mark.parametrize("step", ["", "all", "render", "--help"])
def test_anything_else_is_explained(tmp_path: Path, step: str) -> None:
    called = run(tmp_path, step, status=2)

    assert called.calls == []
    assert "triggers" in called.said


def test_a_setting_that_was_left_out_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.env"
    path.write_text("PROJECT=x\n")

    done = subprocess.run(
        ["bash", FOLDER / "gcloud.sh", "jobs"],
        env={"PATH": "/usr/bin:/bin", "SETTINGS": str(path)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "REGION" in done.stderr


def test_accounts_get_the_least_roles(tmp_path: Path) -> None:
    runner = "smartia-jobs@my-project.iam.gserviceaccount.com"
    starter = "smartia-jobs-trigger@my-project.iam.gserviceaccount.com"
    listener = "smartia-webhook@my-project.iam.gserviceaccount.com"

    granted = []
    for step in STEPS:
        for call in run(tmp_path, step, said="a-secret\n" * 3).calls:
            if "add-iam-policy-binding" in call:
                (member,) = (w.partition(":")[2] for w in call if w.startswith("--member="))
                (role,) = (w.partition("=")[2] for w in call if w.startswith("--role="))
                where = call[call.index("add-iam-policy-binding") + 1]
                granted.append((member, role, where))

    assert sorted(granted) == sorted(
        [(runner, "roles/cloudsql.client", "my-project")]
        + [
            (runner, "roles/secretmanager.secretAccessor", secret)
            for secret in ("smartia-jobs-database-url", "smartia-jobs-token")
        ]
        + [
            (runner, "roles/storage.objectUser", "gs://my-project-reception"),
            ("recepcao@example.org", "roles/storage.objectViewer", "gs://my-project-reception"),
        ]
        + [(listener, "roles/cloudsql.client", "my-project")]
        + [
            (listener, "roles/secretmanager.secretAccessor", f"smartia-webhook-{secret}")
            for secret in ("database-url", "verify-token", "app-secret")
        ]
        + [
            (starter, "roles/run.invoker", f"smartia-jobs-{job}")
            for job in ("72h", "24h", "2h", "replies", "no-show", "metrics", "http", "calls")
        ]
    )


def test_the_digest_that_was_built_is_shown(tmp_path: Path) -> None:
    called = run(tmp_path, "image")

    assert called.said.endswith(f"\nIMAGE=registry.example/smartia-jobs@{DIGEST}\n")


def test_secrets_are_read_from_the_terminal_and_never_an_argument(tmp_path: Path) -> None:
    called = run(tmp_path, "secrets")

    assert called.rendered["secret"] == "a secret"
    assert not any("a secret" in word for call in called.calls for word in call)
    assert run(tmp_path, "secrets", exists=True).of("secrets", "versions", "add") == []


@pytest.mark.parametrize("exists", [False, True])
def test_triggers_call_the_jobs_api_as_google_describes_it(tmp_path: Path, exists: bool) -> None:
    called = run(tmp_path, "triggers", exists=exists)

    verb = "update" if exists else "create"
    made = called.of("scheduler", "jobs", verb, "http")
    assert [call[4] for call in made] == [
        f"smartia-jobs-{job}" for job in ("24h", "2h", "no-show", "replies", "metrics")
    ]
    for call in made:
        flags = dict(word.removeprefix("--").split("=", 1) for word in call[5:])
        header = flags.pop("update-headers" if exists else "headers")
        trigger: dict[str, Any] = {
            "schedule": flags.pop("schedule"),
            "timeZone": flags.pop("time-zone"),
            "attemptDeadline": flags.pop("attempt-deadline"),
            "retryConfig": {
                "retryCount": int(flags.pop("max-retry-attempts")),
                "minBackoffDuration": flags.pop("min-backoff"),
            },
            "httpTarget": {
                "uri": flags.pop("uri"),
                "httpMethod": flags.pop("http-method"),
                "headers": dict([header.split("=")]),
                "body": flags.pop("message-body"),
                "oauthToken": {"serviceAccountEmail": flags.pop("oauth-service-account-email")},
            },
        }
        assert flags == {"location": "southamerica-east1"}
        assert problems("cloudscheduler.v1", "Job", trigger) == []
        assert trigger["httpTarget"]["uri"] == (
            "https://run.googleapis.com/v2/projects/my-project/locations/southamerica-east1"
            f"/jobs/{call[4]}:run"
        )
        hourly = call[4] in ("smartia-jobs-2h", "smartia-jobs-no-show", "smartia-jobs-replies")
        assert trigger["timeZone"] == ("Etc/UTC" if hourly else "America/Sao_Paulo")
        assert re.fullmatch(
            r"(\d+|\*/5) \* \* \* \*" if hourly else r"0 [89] \* \* [*1]", trigger["schedule"]
        )
        CronSim(trigger["schedule"], _AN_INSTANT)


def test_the_triggers_that_are_left_off_are_good_ones_once_their_mark_is_taken_away(
    tmp_path: Path,
) -> None:
    script = tmp_path / "all.sh"
    text = (FOLDER / "gcloud.sh").read_text("utf-8")
    script.write_text(re.sub(r"^    # (trigger )", r"    \1", text, flags=re.M), "utf-8")

    made = run(tmp_path, "triggers", script=script).of("scheduler", "jobs", "create", "http")

    more = [(call[4], call[6], call[7]) for call in made[-2:]]
    assert len(made) == 7
    assert more == [
        ("smartia-jobs-72h", "--schedule=5 9 * * *", "--time-zone=America/Sao_Paulo"),
        ("smartia-jobs-24h", "--schedule=0 9-17 * * *", "--time-zone=America/Sao_Paulo"),
    ]
    for _, schedule, _ in more:
        CronSim(schedule.removeprefix("--schedule="), _AN_INSTANT)


def test_the_reception_s_page_goes_into_a_bucket_and_google_knows_every_field(page: Any) -> None:
    (only,), (volume,) = task(page)["containers"], task(page)["volumes"]
    (mount,) = only["volumeMounts"]
    output = Path(only["args"][only["args"].index("--output") + 1])
    given = {entry["name"]: entry for entry in only["env"]}

    assert problems("run.v1", "Job", page) == []
    assert parse(only["args"]) == "calls"
    assert output.parent == Path(mount["mountPath"])
    assert output.suffix == ".html"  # by which the bucket tells a browser what it is
    assert mount["name"] == volume["name"]
    assert volume["csi"]["driver"] == "gcsfuse.run.googleapis.com"
    assert volume["csi"]["volumeAttributes"]["bucketName"] == "my-project-reception"
    user = re.search(r"^USER (\d+)$", (DEPLOY.parent / "Dockerfile").read_text("utf-8"), re.M)
    assert user is not None
    assert f"uid={user[1]}," in volume["csi"]["volumeAttributes"]["mountOptions"]
    assert given.keys() <= NAMES
    assert {n for n, entry in given.items() if "valueFrom" in entry} == given.keys() & SECRET
    # A run ends before the next begins.
    assert (task(page)["maxRetries"] + 1) * int(task(page)["timeoutSeconds"]) < 15 * 60


@pytest.mark.parametrize("exists", [False, True])
def test_the_bucket_is_never_public_and_keeps_no_page_of_yesterday(
    tmp_path: Path, exists: bool
) -> None:
    called = run(
        tmp_path, "calls", exists=exists, CALLS_READERS="user:a@x.example user:b@x.example"
    )

    made = called.of("storage", "buckets", "create")
    assert [call[3:] for call in made] == (
        []
        if exists
        else [
            [
                "gs://my-project-reception",
                "--location=southamerica-east1",
                "--uniform-bucket-level-access",
                "--public-access-prevention",
                "--soft-delete-duration=0",
            ]
        ]
    )
    granted = [call[4] for call in called.of("storage", "buckets", "add-iam-policy-binding")]
    assert granted[1:] == ["--member=user:a@x.example", "--member=user:b@x.example"]
    (trigger,) = called.of("scheduler", "jobs", "update" if exists else "create", "http")
    assert trigger[4] == "smartia-jobs-calls"
    assert "--schedule=*/15 * * * *" in trigger
    assert called.said.endswith("/my-project-reception/ligar.html\n")


@pytest.mark.parametrize("name", ["webhook", "http"])
def test_google_knows_every_field_of_a_service(services: dict[str, Any], name: str) -> None:
    service = services[name]
    (only,) = service["spec"]["template"]["spec"]["containers"]
    given = {entry["name"]: entry for entry in only["env"]}

    assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
    assert problems("run.v1", "Service", service) == []
    assert parse(only["args"]) == "serve"
    assert given.keys() <= NAMES
    assert {n for n, entry in given.items() if "valueFrom" in entry} == given.keys() & SECRET
    for entry in (entry["valueFrom"]["secretKeyRef"] for n, entry in given.items() if n in SECRET):
        assert re.fullmatch(r"[1-9]\d*", entry["key"])


def test_the_webhook_is_public_and_reaches_no_secret_but_its_own(
    tmp_path: Path, services: dict[str, Any]
) -> None:
    spec = services["webhook"]["spec"]["template"]["spec"]
    secrets = re.findall(r"'name': '(smartia-[\w-]+)', 'key'", str(spec))
    secrets += re.findall(r"'key': '\d+', 'name': '(smartia-[\w-]+)'", str(spec))

    called = run(tmp_path, "webhook")

    assert set(secrets) == {
        "smartia-webhook-database-url",
        "smartia-webhook-verify-token",
        "smartia-webhook-app-secret",
    }
    assert spec["serviceAccountName"].startswith("smartia-webhook@")
    assert "HTTP_AUTH" not in str(spec)
    assert ["smartia-webhook", "--region=southamerica-east1", "--no-invoker-iam-check"] in [
        call[3:] for call in called.of("run", "services", "update")
    ]
    assert called.said.endswith("Callback URL for Meta: https://smartia-webhook.example/webhook\n")


def test_the_service_of_jobs_is_private_and_has_one_instance(services: dict[str, Any]) -> None:
    template = services["http"]["spec"]["template"]

    assert {"name": "HTTP_AUTH", "value": "iam"} in template["spec"]["containers"][0]["env"]
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "1"
    assert template["spec"]["timeoutSeconds"] == 1800
    assert "META_APP_SECRET" not in str(template)


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("step", ["http", "token"])
def test_the_old_triggers_go_on_by_their_names_and_prove_who_they_are(
    tmp_path: Path, step: str, exists: bool
) -> None:
    called = run(tmp_path, step, exists=exists, said="a-token\n")

    verb = "update" if exists else "create"
    made = called.of("scheduler", "jobs", verb, "http")
    url = "https://smartia-jobs-http.example" if step == "http" else "https://jobs.example.org"
    paths = {
        "24h-reminders": "/jobs/reminders/24h",
        "2h-reminders": "/jobs/reminders/2h",
        "no-show-handler": "/jobs/no-shows",
        "replies": "/jobs/replies",
    }
    assert {call[4] for call in made} == paths.keys()
    for call in made:
        flags = dict(word.removeprefix("--").split("=", 1) for word in call[5:])
        target: dict[str, Any] = {"uri": flags["uri"], "httpMethod": flags["http-method"]}
        assert target["uri"] == f"{url}{paths[call[4]]}"
        if step == "http":
            target["oidcToken"] = {
                "serviceAccountEmail": flags["oidc-service-account-email"],
                "audience": flags["oidc-token-audience"],
            }
            assert target["oidcToken"]["audience"] == url
        else:
            (option,) = yaml.safe_load(called.rendered["flags"]).items()
            assert option == (
                "--update-headers" if exists else "--headers",
                {"Authorization": "Bearer a-token"},
            )
            target["headers"] = option[1]
            assert "a-token" not in " ".join(call)
        trigger = {
            "schedule": flags["schedule"],
            "timeZone": flags["time-zone"],
            "attemptDeadline": flags["attempt-deadline"],
            "retryConfig": {"retryCount": int(flags["max-retry-attempts"])},
            "httpTarget": target,
        }
        assert problems("cloudscheduler.v1", "Job", trigger) == []
        CronSim(flags["schedule"], _AN_INSTANT)


@pytest.mark.parametrize("token", ["a b", "a'b", "", 'a"b', "a\\b"])
def test_a_token_that_no_header_can_carry_is_refused(tmp_path: Path, token: str) -> None:
    assert run(tmp_path, "token", said=f"{token}\n", status=1).calls == []


def test_a_token_is_sent_over_https_alone(tmp_path: Path) -> None:
    called = run(tmp_path, "token", status=1, JOBS_URL="http://jobs.example.org")

    assert called.calls == []
    assert "https" in called.said


@pytest.mark.parametrize("path", sorted(FOLDER.glob("alerts/*.yaml")), ids=lambda path: path.stem)
def test_google_knows_every_field_of_an_alert(path: Path) -> None:
    policy = yaml.safe_load(path.read_text("utf-8"))

    assert problems("monitoring.v3", "AlertPolicy", policy) == []
    assert f"alerts/{path.name}" in README
    for condition in policy["conditions"]:
        assert len(condition) == 2  # its name, and what kind it is
    if "conditionMatchedLog" in policy["conditions"][0]:
        assert "notificationRateLimit" in policy["alertStrategy"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("metrics/*.yaml")), ids=lambda path: path.stem)
def test_google_knows_every_field_of_a_log_based_metric(path: Path) -> None:
    metric = yaml.safe_load(path.read_text("utf-8"))

    assert problems("logging.v2", "LogMetric", metric) == []
    assert f"`smartia-jobs-{path.stem}`" in README
    assert {label["key"] for label in metric["metricDescriptor"]["labels"]} == set(
        metric["labelExtractors"]
    )
    assert ("valueExtractor" in metric) == (
        metric["metricDescriptor"]["valueType"] == "DISTRIBUTION"
    )
    read = re.findall(r"jsonPayload\.(\w+)", str(metric))
    assert set(read) <= _CLOSING_LINE


def test_the_filters_in_the_readme_are_those_of_the_files() -> None:
    shown = {
        " ".join(block.split()) for block in re.findall(r"^```\n(.+?)^```$", README, re.M | re.S)
    }
    files = [yaml.safe_load(path.read_text("utf-8")) for path in FOLDER.glob("metrics/*.yaml")]
    refused = yaml.safe_load((FOLDER / "alerts" / "trigger-refused.yaml").read_text("utf-8"))

    used = {file["filter"] for file in files}
    used.add(refused["conditions"][0]["conditionMatchedLog"]["filter"])

    assert used <= shown


def test_every_job_that_has_a_trigger_is_missed_when_it_stays_away() -> None:
    policy = yaml.safe_load((FOLDER / "alerts" / "no-success.yaml").read_text("utf-8"))
    queries = [c["conditionPrometheusQueryLanguage"]["query"] for c in policy["conditions"]]

    found = [re.search(r'job_name="smartia-jobs-([\w-]+)".*\[(\d+)h\]', query) for query in queries]

    assert [(one[1], int(one[2])) for one in found if one] == [
        ("24h", 49),
        ("2h", 2),
        ("no-show", 2),
        ("replies", 2),
    ]


def test_alerts_and_metrics_are_made_once(tmp_path: Path) -> None:
    made = run(tmp_path, "alerts")
    again = run(tmp_path, "alerts", exists=True)

    files = {path.name for path in FOLDER.glob("alerts/*.yaml")}
    policies = made.of("monitoring", "policies", "create")
    assert {Path(call[3].partition("=")[2]).name for call in policies} == files
    assert len(made.of("logging", "metrics", "create")) == len(list(FOLDER.glob("metrics/*.yaml")))
    assert again.of("monitoring", "policies", "create") == []
    assert len(again.of("logging", "metrics", "update")) == len(list(FOLDER.glob("metrics/*.yaml")))


def test_upgrade_and_check_wait_for_the_end(tmp_path: Path) -> None:
    for job in ("upgrade", "check"):
        (call,) = run(tmp_path, job).calls
        assert call[:3] == ["run", "jobs", "execute"]
        assert call[3:] == [f"smartia-jobs-{job}", "--region=southamerica-east1", "--wait"]
