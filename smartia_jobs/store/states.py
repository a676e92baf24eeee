"""The states of an outbox row, and what each one promises."""

from enum import StrEnum


class State(StrEnum):
    """The state of one message of one appointment."""

    #: A worker is sending it now, until its lease ends.
    CLAIMED = "claimed"
    #: WhatsApp accepted it.
    SENT = "sent"
    #: WhatsApp said later that it did not arrive; a later status that it did wins.
    UNDELIVERED = "undelivered"
    #: It reached the patient's phone.
    DELIVERED = "delivered"
    #: The patient opened it.
    READ = "read"
    #: Final: WhatsApp refused this patient, or the number cannot be a phone; reopens when the
    #: visit's start or phone changes.
    FAILED = "failed"
    #: Surely not accepted, or given up by WhatsApp for reasons of its own; may be claimed again
    #: while it is still useful.
    RETRY = "retry"
    #: It was never sent, and its visit has moved, was cancelled, has begun, or was too near.
    EXPIRED = "expired"
    #: It may have been accepted; held until a status, a person or ``ON_UNKNOWN=resend`` decides.
    UNKNOWN = "unknown"


#: WhatsApp took it.
ACCEPTED = frozenset({State.SENT, State.UNDELIVERED, State.DELIVERED, State.READ})
#: WhatsApp took it, or may have: the newest such row says who was last told what.
MAYBE_ACCEPTED = ACCEPTED | {State.UNKNOWN}
