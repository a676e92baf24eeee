#!/usr/bin/env bash
# The jobs, their triggers and their alerts on Google Cloud, step by step; README.md in the folder
# above explains each. Every step may be run again: what exists is kept or brought up to date.
#
#   cp clinic.env.example clinic.env     and write your own values into it
#   ./gcloud.sh accounts | image | secrets | jobs | upgrade | check | triggers | alerts
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

placeholders=(PROJECT REGION CLOUD_SQL_INSTANCE IMAGE DATABASE_URL_VERSION TOKEN_VERSION
    CLINIC_NAME CLINIC_TIMEZONE STORED_TIMES QUIET_HOURS META_PHONE_NUMBER_ID META_WABA_ID)
jobs=(72h 24h 2h no-show metrics check upgrade)
secrets=(smartia-jobs-database-url smartia-jobs-token)

main() {
    local step=${1:-}
    case $step in
        accounts | image | secrets | jobs | upgrade | check | triggers | alerts) ;;
        *)
            sed -n "s,^#   ,,p" "${BASH_SOURCE[0]##*/}" >&2
            exit 2
            ;;
    esac
    local settings=${SETTINGS:-clinic.env}
    [[ -f $settings ]] || fail "there is no $settings; copy clinic.env.example"
    # shellcheck source=/dev/null
    source "$settings"
    local name
    for name in "${placeholders[@]}" NOTIFICATION_CHANNEL; do
        [[ -n ${!name+set} ]] || fail "$settings does not set $name"
    done
    runner=smartia-jobs@$PROJECT.iam.gserviceaccount.com
    starter=smartia-jobs-trigger@$PROJECT.iam.gserviceaccount.com
    "$step"
}

fail() {
    echo "gcloud.sh: $*" >&2
    exit 1
}

in_project() {
    gcloud --project="$PROJECT" --quiet "$@"
}

# Whether something can be described, and so exists.
exists() {
    in_project "$@" >/dev/null 2>&1
}

# 1. The services, and an account each for the jobs and for what starts them.
accounts() {
    in_project services enable run.googleapis.com cloudscheduler.googleapis.com \
        secretmanager.googleapis.com sqladmin.googleapis.com artifactregistry.googleapis.com \
        cloudbuild.googleapis.com monitoring.googleapis.com logging.googleapis.com
    exists iam service-accounts describe "$runner" ||
        in_project iam service-accounts create smartia-jobs --display-name='smartia-jobs'
    exists iam service-accounts describe "$starter" ||
        in_project iam service-accounts create smartia-jobs-trigger \
            --display-name='Starts smartia-jobs'
    in_project projects add-iam-policy-binding "$PROJECT" \
        --member="serviceAccount:$runner" --role=roles/cloudsql.client --condition=None >/dev/null
}

# 2. The image, built by Cloud Build from this source tree; prints the digest for clinic.env.
image() {
    local repository=$REGION-docker.pkg.dev/$PROJECT/smartia
    exists artifacts repositories describe smartia --location="$REGION" ||
        in_project artifacts repositories create smartia \
            --location="$REGION" --repository-format=docker
    in_project builds submit ../.. --tag="$repository/smartia-jobs:latest"
    local digest
    digest=$(in_project artifacts docker images describe "$repository/smartia-jobs:latest" \
        --format='value(image_summary.fully_qualified_digest)')
    echo "Put this into clinic.env:"
    echo "IMAGE=$digest"
}

# 3. The secrets, each readable by the jobs' account alone. Asks for a first value where there is
# none; a later one: gcloud secrets versions add NAME --data-file=- (and its number in clinic.env).
secrets() {
    local secret value
    for secret in "${secrets[@]}"; do
        exists secrets describe "$secret" ||
            in_project secrets create "$secret" --replication-policy=automatic
        in_project secrets add-iam-policy-binding "$secret" \
            --member="serviceAccount:$runner" --role=roles/secretmanager.secretAccessor >/dev/null
        exists secrets versions describe latest --secret="$secret" && continue
        read -rs -p "Value of $secret (it is not shown): " value
        echo
        printf %s "$value" | in_project secrets versions add "$secret" --data-file=-
    done
}

# 4. The jobs, and the right to start those that have a trigger.
jobs() {
    [[ $IMAGE == *@sha256:* ]] || fail "IMAGE must name a digest, so that all jobs run the same"
    local job
    rendered=$(mktemp -d)
    trap 'rm -rf "$rendered"' EXIT
    for job in "${jobs[@]}"; do
        render "$job.yaml" >"$rendered/$job.yaml"
        in_project run jobs replace "$rendered/$job.yaml" --region="$REGION"
    done
    for job in 72h 24h 2h no-show metrics; do
        in_project run jobs add-iam-policy-binding "smartia-jobs-$job" --region="$REGION" \
            --member="serviceAccount:$starter" --role=roles/run.invoker >/dev/null
    done
}

# 5. The tables and the indexes; again at each new version, before the triggers run it.
upgrade() {
    in_project run jobs execute smartia-jobs-upgrade --region="$REGION" --wait
}

# 6. Is everything right? Ends with an error when it is not; the log says what.
check() {
    in_project run jobs execute smartia-jobs-check --region="$REGION" --wait
}

# 7. The triggers. The daily ones go by the clinic's clock, the hourly ones by UTC: they must keep
# their pace when the clinic's clocks change. Two runs at once do no harm.
triggers() {
    trigger 24h '0 9 * * *' "$CLINIC_TIMEZONE"
    trigger 2h '10 * * * *' Etc/UTC
    trigger no-show '40 * * * *' Etc/UTC
    trigger metrics '0 8 * * 1' "$CLINIC_TIMEZONE"
    # Off at first: asks who booked long ahead to confirm. A further message, which Meta charges for.
    # trigger 72h '5 9 * * *' "$CLINIC_TIMEZONE"
    # Off at first: repeats 24h until 17. Worth it once delivery statuses are heard, which tell what
    # Meta gave up; nobody is reminded twice. It takes the place of the trigger above.
    # trigger 24h '0 9-17 * * *' "$CLINIC_TIMEZONE"
}

trigger() {
    local name=smartia-jobs-$1 schedule=$2 zone=$3 verb=create headers=--headers
    if exists scheduler jobs describe "$name" --location="$REGION"; then
        verb=update headers=--update-headers
    fi
    # The call ends as soon as the execution has begun; its retries start it, never send again.
    in_project scheduler jobs "$verb" http "$name" --location="$REGION" \
        --schedule="$schedule" --time-zone="$zone" \
        --uri="https://run.googleapis.com/v2/projects/$PROJECT/locations/$REGION/jobs/$name:run" \
        --http-method=POST "$headers=Content-Type=application/json" --message-body='{}' \
        --oauth-service-account-email="$starter" \
        --attempt-deadline=60s --max-retry-attempts=3 --min-backoff=10s
}

# 8. The log-based metrics and the alerts.
alerts() {
    local file name verb
    for file in metrics/*.yaml; do
        name=smartia-jobs-$(basename "$file" .yaml)
        verb=create
        if exists logging metrics describe "$name"; then verb=update; fi
        in_project logging metrics "$verb" "$name" --config-from-file="$file"
    done
    for file in alerts/*.yaml; do
        name=$(sed -n 's/^displayName: //p' "$file")
        if [[ -n $(in_project monitoring policies list --filter="displayName=\"$name\"" \
            --format='value(name)') ]]; then
            echo "The alert \"$name\" exists and is kept; delete it to make it anew."
            continue
        fi
        in_project monitoring policies create --policy-from-file="$file" \
            --notification-channels="$NOTIFICATION_CHANNEL"
    done
}

# Prints a file with the values of clinic.env in place of its ${NAME}s.
render() {
    local text name value
    text=$(<"$1")
    for name in "${placeholders[@]}"; do
        value=${!name//\\/\\\\}
        value=${value//\"/\\\"}
        text=${text//"\${$name}"/"$value"}
    done
    printf '%s\n' "$text"
}

main "$@"
