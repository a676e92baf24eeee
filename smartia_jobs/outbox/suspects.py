"""Request errors whose fault is not yet clear: the request's, or one patient's."""

from smartia_jobs.message import Verdict
from smartia_jobs.outbox.records import Finished

#: So many equal request errors in a row are the request's fault.
EQUAL_ERRORS = 5
#: So are as many of any kind while nothing has shown that the request is good.
ANY_ERRORS = 10


class Suspects:
    """Holds back who was refused for a malformed request until others show whose fault it was.

    They stand as ``retry`` meanwhile. Whoever is acquitted of the request's fault was refused
    for their own sake and becomes ``failed``; a faulty request fails nobody.
    """

    def __init__(self) -> None:
        """Begin without a suspicion, and without a proof that the request is good."""
        self.request_is_good = False
        self._held: list[Finished] = []
        self._code: int | None = None
        self._equal = 0

    def hear(self, one: Finished) -> list[Finished]:
        """Learn from one answer; return those who are now known to be at fault themselves."""
        verdict = one.answer.verdict if one.answer else None
        if verdict in (Verdict.SENT, Verdict.GIVE_UP):
            self.request_is_good = True
            return self.release()
        if one.answer is None or verdict is not Verdict.BAD_REQUEST:
            return []
        another = one.answer.code != self._code
        innocent = self.release() if another and self.request_is_good else []
        self._equal = 1 if another else self._equal + 1
        self._code = one.answer.code
        self._held.append(one)
        return innocent

    @property
    def request_is_bad(self) -> bool:
        """Whether so many were refused that it must be the request."""
        unproven = not self.request_is_good and len(self._held) >= ANY_ERRORS
        return self._equal >= EQUAL_ERRORS or unproven

    def release(self) -> list[Finished]:
        """Return all who are held, and hold nobody."""
        held, self._held = self._held, []
        self._code, self._equal = None, 0
        return held
