#!/usr/bin/env bash
# The jobs of many clinics on Google Cloud, step by step; README.md in the folder above explains each,
# docs/fleet.md the whole. Every step may be run again.
#
#   cp fleet.env.example fleet.env     and write your own values into it
#   ./fleet.sh accounts | image | clinics | jobs | upgrade | check | triggers | alerts | calls
set -euo pipefail
# shellcheck source=gcloud.sh
source "$(dirname "${BASH_SOURCE[0]}")/gcloud.sh"

asked=(PROJECT REGION CLOUD_SQL_INSTANCE IMAGE CLINICS_BUCKET CALLS_BUCKET TASKS PARALLEL
    STORED_TIMES QUIET_HOURS)
placeholders=("${asked[@]}" JOB RETRIES TIMEOUT ARGUMENTS)
# What is of one job; its own replace them.
JOB='' RETRIES='' TIMEOUT='' ARGUMENTS=''

main() {
    local step=${1:-}
    case $step in
        accounts | image | clinics | jobs | upgrade | check | triggers | alerts | calls) ;;
        *)
            sed -n "s,^#   ,,p" "${BASH_SOURCE[0]##*/}" >&2
            exit 2
            ;;
    esac
    read_settings fleet.env "${asked[@]}" CLINICS CALLS_READERS NOTIFICATION_CHANNEL
    "$step"
}

# 1 and 2, accounts and image, are those of gcloud.sh.

# 3. The clinics' settings files, into a bucket that is never public and keeps no earlier version. What
# is no longer in the folder is deleted there. To be repeated whenever a file changes.
clinics() {
    compgen -G "$CLINICS/*.env" >/dev/null || fail "there is no clinic's file in $CLINICS"
    private_bucket "$CLINICS_BUCKET"
    may_in_bucket "$CLINICS_BUCKET" "serviceAccount:$runner" roles/storage.objectViewer
    in_project storage rsync "$CLINICS" "gs://$CLINICS_BUCKET" \
        --delete-unmatched-destination-objects
}

# 4. The jobs, and the right to start those that have a trigger. Each ends, with its retry, before the
# next begins, so that a clinic that hangs delays the others once at most.
jobs() {
    local name
    prepare
    #    name     retries  s     command
    job 72h       1        1500  72h --at=9
    job 24h       1        1500  24h --at=9
    job 2h        1        1500  2h
    job no-show   1        1500  no-show
    job replies   0        540   replies --time-limit=240
    # A person waits for these. Building the index of a large table may take many minutes.
    job check     0        3600  check
    job upgrade   0        21600 db upgrade --time-limit=3600
    for name in 72h 24h 2h no-show replies; do
        may_start "fleet-$name"
    done
}

# shellcheck disable=SC2034  # render puts them into the file
job() {
    JOB=$1 RETRIES=$2 TIMEOUT=$3
    ARGUMENTS=$(printf '%s, ' "${@:4}")
    ARGUMENTS=${ARGUMENTS%, }
    make_job "fleet-$JOB" fleet/job.yaml
}

# 5. The tables and the indexes of every clinic; again at each new version, before the triggers run it.
upgrade() {
    in_project run jobs execute smartia-jobs-fleet-upgrade --region="$REGION" --wait
}

# 6. Is everything right at every clinic? Ends with an error when it is not; the log names them.
check() {
    in_project run jobs execute smartia-jobs-fleet-check --region="$REGION" --wait
}

# 7. The triggers, all by UTC. Those of 24h come hourly, and --at takes the clinics where it is nine.
triggers() {
    trigger fleet-24h '0 * * * *' Etc/UTC
    trigger fleet-2h '10 * * * *' Etc/UTC
    trigger fleet-no-show '40 * * * *' Etc/UTC
    trigger fleet-replies '5-55/10 * * * *' Etc/UTC
    # Off at first: asks who booked long ahead to confirm. A further message, which Meta charges for.
    # trigger fleet-72h '5 * * * *' Etc/UTC
}

# 8. The log-based metrics, and the alerts.
alerts() {
    log_metrics
    policies alerts/failed-execution.yaml alerts/trigger-refused.yaml fleet/not-run.yaml
}

# 9. The reception's page of each clinic, which its own readers alone may open. A reader who is taken out
# of CALLS_READERS goes on reading until the role is taken away by hand.
calls() {
    local reader clinic
    local -a readers
    read -ra readers <<<"$CALLS_READERS"
    for reader in "${readers[@]}"; do
        [[ $reader =~ ^[a-z0-9-]+=(user|group):.+$ ]] ||
            fail "CALLS_READERS: $reader is not like centro=group:recepcao@example.org"
    done
    prepare
    private_bucket "$CALLS_BUCKET"
    may_in_bucket "$CALLS_BUCKET" "serviceAccount:$runner" roles/storage.objectUser --condition=None
    for reader in "${readers[@]}"; do
        clinic=${reader%%=*}
        may_in_bucket "$CALLS_BUCKET" "${reader#*=}" roles/storage.objectViewer \
            --condition="title=$clinic,expression=resource.name == 'projects/_/buckets/$CALLS_BUCKET/objects/$clinic.html'"
    done
    make_job fleet-calls fleet/calls.yaml
    may_start fleet-calls
    trigger fleet-calls '*/15 * * * *' Etc/UTC
    echo "Each clinic's page: https://storage.cloud.google.com/$CALLS_BUCKET/CLINIC.html"
}

main "$@"
