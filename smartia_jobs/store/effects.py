"""What became of an answer, and what each word promises."""

from enum import StrEnum


class Effect(StrEnum):
    """What this program did with one answer."""

    #: The visits of the message are CONFIRMED.
    CONFIRMED = "confirmed"
    #: The visit is CANCELLED, its slot is free.
    CANCELLED = "cancelled"
    #: A person must look at it.
    LISTED = "listed"
    #: The phone no longer gets messages, or invitations.
    OPTED_OUT = "opted_out"
    #: The phone gets messages again.
    OPTED_IN = "opted_in"
    #: Thanks and greetings: there was nothing to do.
    COURTESY = "courtesy"
    #: The same was said before, and still holds.
    REPEATED = "repeated"
    #: A later answer about the same visit had been acted on.
    OVERTAKEN = "overtaken"
    #: Not about a message of ours; its text is not kept.
    IGNORED = "ignored"
    #: A person took back what it had done: it counts for nothing.
    UNDONE = "undone"


#: A person has something to do about it until it is settled.
FOR_A_PERSON = frozenset({Effect.LISTED, Effect.CANCELLED, Effect.UNDONE})
