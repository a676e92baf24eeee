#!/usr/bin/env bash
# The jobs, their triggers and their alerts on Google Cloud, step by step; README.md in the folder
# above explains each. Every step may be run again: what exists is kept or brought up to date.
#
#   cp clinic.env.example clinic.env     and write your own values into it
#   ./gcloud.sh accounts | image | secrets | jobs | upgrade | check | triggers | alerts | webhook | http | token | calls
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

placeholders=(PROJECT REGION CLOUD_SQL_INSTANCE IMAGE DATABASE_URL_VERSION TOKEN_VERSION
    CLINIC_NAME CLINIC_TIMEZONE STORED_TIMES QUIET_HOURS META_PHONE_NUMBER_ID META_WABA_ID
    WEBHOOK_DATABASE_URL_VERSION VERIFY_TOKEN_VERSION APP_SECRET_VERSION CALLS_BUCKET)
jobs=(72h 24h 2h replies no-show metrics check upgrade)
secrets=(smartia-jobs-database-url smartia-jobs-token)
webhook_secrets=(smartia-webhook-database-url smartia-webhook-verify-token
    smartia-webhook-app-secret)

main() {
    local step=${1:-}
    case $step in
        accounts | image | secrets | jobs | upgrade | check | triggers | alerts | webhook | http | token | calls) ;;
        *)
            sed -n "s,^#   ,,p" "${BASH_SOURCE[0]##*/}" >&2
            exit 2
            ;;
    esac
    read_settings clinic.env "${placeholders[@]}" NOTIFICATION_CHANNEL JOBS_URL CALLS_READERS
    "$step"
}

# Reads the settings from FILE, and names what it does not set of the rest.
read_settings() {
    local settings=${SETTINGS:-$1} name
    [[ -f $settings ]] || fail "there is no $settings; copy $1.example"
    # shellcheck source=/dev/null
    source "$settings"
    for name in "${@:2}"; do
        [[ -n ${!name+set} ]] || fail "$settings does not set $name"
    done
    runner=smartia-jobs@$PROJECT.iam.gserviceaccount.com
    starter=smartia-jobs-trigger@$PROJECT.iam.gserviceaccount.com
    listener=smartia-webhook@$PROJECT.iam.gserviceaccount.com
}

fail() {
    echo "${0##*/}: $*" >&2
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
    account "$runner" 'smartia-jobs'
    account "$starter" 'Starts smartia-jobs'
    may_use_cloud_sql "$runner"
}

account() {
    exists iam service-accounts describe "$1" ||
        in_project iam service-accounts create "${1%@*}" --display-name="$2"
}

may_use_cloud_sql() {
    in_project projects add-iam-policy-binding "$PROJECT" \
        --member="serviceAccount:$1" --role=roles/cloudsql.client --condition=None >/dev/null
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
    echo "Put this into the settings:"
    echo "IMAGE=$digest"
}

# 3. The secrets, each readable by the jobs' account alone. Asks for a first value where there is
# none; a later one: gcloud secrets versions add NAME --data-file=- (and its number in clinic.env).
secrets() {
    readable_by "$runner" "${secrets[@]}"
}

readable_by() {
    local account=$1 secret value
    shift
    for secret; do
        exists secrets describe "$secret" ||
            in_project secrets create "$secret" --replication-policy=automatic
        in_project secrets add-iam-policy-binding "$secret" \
            --member="serviceAccount:$account" --role=roles/secretmanager.secretAccessor >/dev/null
        exists secrets versions describe latest --secret="$secret" && continue
        read -rs -p "Value of $secret (it is not shown): " value
        echo
        printf %s "$value" | in_project secrets versions add "$secret" --data-file=-
    done
}

# 4. The jobs, and the right to start those that have a trigger.
jobs() {
    local job
    prepare
    for job in "${jobs[@]}"; do
        make_job "$job"
    done
    for job in 72h 24h 2h replies no-show metrics; do
        may_start "$job"
    done
}

# Puts the values into NAME.yaml, or into FILE for NAME, and makes the job of it.
make_job() {
    local file=$rendered/$1.yaml
    render "${2-$1.yaml}" >"$file"
    in_project run jobs replace "$file" --region="$REGION"
}

may_start() {
    in_project run jobs add-iam-policy-binding "smartia-jobs-$1" --region="$REGION" \
        --member="serviceAccount:$starter" --role=roles/run.invoker >/dev/null
}

# A folder for files with their values put in, which goes when the script ends.
prepare() {
    [[ $IMAGE == *@sha256:* ]] || fail "IMAGE must name a digest, so that all jobs run the same"
    rendered=$(mktemp -d)
    trap 'rm -rf "$rendered"' EXIT
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
    trigger replies '*/5 * * * *' Etc/UTC
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
    log_metrics
    policies alerts/*.yaml
}

log_metrics() {
    local file name verb
    for file in metrics/*.yaml; do
        name=smartia-jobs-$(basename "$file" .yaml)
        verb=create
        if exists logging metrics describe "$name"; then verb=update; fi
        in_project logging metrics "$verb" "$name" --config-from-file="$file"
    done
}

# Makes an alert of each file, and keeps those that exist.
policies() {
    local file name
    for file; do
        name=$(sed -n 's/^displayName: //p' "$file")
        if [[ -n $(in_project monitoring policies list --filter="displayName=\"$name\"" \
            --format='value(name)') ]]; then
            echo "The alert \"$name\" exists and is kept; delete it to have it made again."
            continue
        fi
        in_project monitoring policies create --policy-from-file="$file" \
            --notification-channels="$NOTIFICATION_CHANNEL"
    done
}

# 9. The webhook, a service of its own with an account, secrets and a role of the database of its
# own. Prints the address that Meta wants to know.
webhook() {
    account "$listener" 'Hears what WhatsApp says'
    may_use_cloud_sql "$listener"
    readable_by "$listener" "${webhook_secrets[@]}"
    service webhook smartia-webhook
    # Meta signs what it posts, and has no account here that Google could ask.
    in_project run services update smartia-webhook --region="$REGION" --no-invoker-iam-check
    echo "Callback URL for Meta: $(address smartia-webhook)/webhook"
}

# Puts the values into NAME.yaml and makes the service SERVICE of it.
service() {
    prepare
    render "$1.yaml" >"$rendered/$1.yaml"
    in_project run services replace "$rendered/$1.yaml" --region="$REGION"
}

address() {
    in_project run services describe "$1" --region="$REGION" --format='value(status.url)'
}

# 10. Instead of 4 and 7: the jobs as a private service, and the triggers of SmartIA's API by their
# old names, which prove who they are by a token of Google's (OIDC).
http() {
    service http smartia-jobs-http
    in_project run services add-iam-policy-binding smartia-jobs-http --region="$REGION" \
        --member="serviceAccount:$starter" --role=roles/run.invoker >/dev/null
    local url
    url=$(address smartia-jobs-http)
    # The audience is the service; by default it would be each path.
    old_triggers "$url" --oidc-service-account-email="$starter" --oidc-token-audience="$url"
}

# 11. The same triggers for a service that runs elsewhere, at JOBS_URL, with HTTP_AUTH=token.
token() {
    [[ $JOBS_URL == https://* ]] || fail "JOBS_URL must begin with https://, or anybody reads the token"
    local token
    read -rs -p "HTTP_TOKEN of the service (it is not shown): " token
    echo
    [[ $token =~ ^[A-Za-z0-9._~+/=-]+$ ]] || fail "a token has letters, digits and ._~+/=- alone"
    # In a file, because every user of this machine sees the arguments of a command.
    secret_flags=$(umask 077 && mktemp -d)
    trap 'rm -rf "$secret_flags"' EXIT
    printf -- '--headers:\n  Authorization: Bearer %s\n' "$token" >"$secret_flags/create"
    printf -- '--update-headers:\n  Authorization: Bearer %s\n' "$token" >"$secret_flags/update"
    old_triggers "$JOBS_URL"
}

old_triggers() {
    local url=$1
    shift
    old_trigger 24h-reminders '0 9 * * *' "$CLINIC_TIMEZONE" "$url/jobs/reminders/24h" "$@"
    old_trigger 2h-reminders '10 * * * *' Etc/UTC "$url/jobs/reminders/2h" "$@"
    old_trigger no-show-handler '40 * * * *' Etc/UTC "$url/jobs/no-shows" "$@"
    old_trigger replies '*/5 * * * *' Etc/UTC "$url/jobs/replies" "$@"
}

old_trigger() {
    local name=$1 schedule=$2 zone=$3 uri=$4 verb=create
    shift 4
    if exists scheduler jobs describe "$name" --location="$REGION"; then
        verb=update
    fi
    [[ -z ${secret_flags-} ]] || set -- "$@" --flags-file="$secret_flags/$verb"
    # A call lasts as long as its job. Whatever is not 2xx counts as failed and is tried again,
    # also what no retry mends: such a run ends within seconds, and no message is sent twice.
    in_project scheduler jobs "$verb" http "$name" --location="$REGION" \
        --schedule="$schedule" --time-zone="$zone" --uri="$uri" --http-method=POST \
        --attempt-deadline=1800s --max-retry-attempts=2 --min-backoff=60s "$@"
}

# 12. The reception's page: a bucket that is never public and keeps no earlier page, the job that
# writes into it, and its trigger. Prints the address. A reader who is taken out of CALLS_READERS goes
# on reading until the role is taken away by hand.
calls() {
    local reader
    local -a readers
    prepare
    private_bucket "$CALLS_BUCKET"
    may_in_bucket "$CALLS_BUCKET" "serviceAccount:$runner" roles/storage.objectUser
    read -ra readers <<<"$CALLS_READERS"
    for reader in "${readers[@]}"; do
        may_in_bucket "$CALLS_BUCKET" "$reader" roles/storage.objectViewer
    done
    make_job calls
    may_start calls
    trigger calls '*/15 * * * *' Etc/UTC
    echo "The reception's page: https://storage.cloud.google.com/$CALLS_BUCKET/ligar.html"
}

private_bucket() {
    exists storage buckets describe "gs://$1" ||
        in_project storage buckets create "gs://$1" --location="$REGION" \
            --uniform-bucket-level-access --public-access-prevention --soft-delete-duration=0
}

# BUCKET MEMBER ROLE, and further flags of gcloud.
may_in_bucket() {
    in_project storage buckets add-iam-policy-binding "gs://$1" \
        --member="$2" --role="$3" "${@:4}" >/dev/null
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

# fleet.sh reads this file for what it has in common.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    main "$@"
fi
