"""The outbox: which message of which visit was sent, so that none is sent twice.

    due → claim → send → record, a turn of the dispatcher; recover and settle around it.

    (no row) ──claim──► claimed ──record──► sent | failed | unknown
                         │   ▲                             │
                  record │   │ claim                claim  │  ON_UNKNOWN=resend, once
                         ▼   │                             │
                        retry ◄──────── settle (resend) ───┤
                         │                                 │
         recover, claim  │                                 └── settle ──► sent | failed
                         ▼
                      expired ──claim──► claimed        failed ──claim──► claimed: new phone

    retry ──recover──► undelivered: WhatsApp gave it up, and no run sent it again in time

    What WhatsApp says later moves a row only up: sent < undelivered < delivered < read.

    sent ──status──► undelivered | delivered | read | retry (WhatsApp gave up for its own reasons)
    unknown, retry, expired ──status──► sent | undelivered | delivered | read | retry
    failed ──status──► delivered | read

    (no row) ──claim──► failed: there is no usable phone
    (no row) ──claim──► sent | undelivered | delivered | read: follows the row of
        another appointment that told it
    retry ──record──► failed: two request errors in a row, and others show the request to be good
    claimed ──recover──► unknown: its lease has ended, so its owner died while it sent
    unknown ──record───► sent | failed | retry: the owner was slow, not dead

One row per telling: what a patient was, or is to be, told of a visit by one kind of message,
unique by (appointment, kind, turn). The newest row that was or may have been accepted says who
was last told what (``tellings``); where that is no longer true, a new turn begins.

Who owns each arrow: ``claims.claim`` (claim, and expiring what a moved visit no longer wants),
``records.record`` (record), ``records.fail_request_errors`` (retry → failed), ``records.
release_claims`` (claimed → retry), ``recovery.recover`` (recover), ``admin.resolve`` (settle),
``statuses.apply_statuses`` (status).
What each state promises is in ``states``.
"""
