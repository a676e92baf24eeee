"""What Meta announces about templates and the account."""

from collections.abc import Mapping

from smartia_jobs.sandbox.payloads import Change
from smartia_jobs.sandbox.state import State

#: The status that a template has after an event of another name.
_STATUS_AFTER = {"REINSTATED": "APPROVED", "UNPAUSED": "APPROVED", "UNARCHIVED": "APPROVED"}
_ONLY_TOLD = ("FLAGGED", "LOCKED")
_FIRST_PAUSE = {"title": "FIRST_PAUSE", "description": "Paused for low quality for 3 hours."}
_DAY_S = 24 * 3600


class Notices:
    """Changes the sandbox as Meta would change the account, and tells the webhook of it."""

    def __init__(self, state: State) -> None:
        """Announce nothing yet."""
        self._templates = state.templates
        self._webhook = state.webhook
        self._now = state.now

    def template(self, name: str, language: str, event: str, *, reason: str = "NONE") -> None:
        """Approve, reject, pause, disable or reinstate a template, and announce it.

        Args:
            name: of a registered template.
            language: its language code.
            event: Meta's word: ``APPROVED``, ``PAUSED``, ``FLAGGED``, ...
            reason: of a rejection.

        Raises:
            KeyError: there is no such template.
        """
        if event not in _ONLY_TOLD:
            status = _STATUS_AFTER.get(event, event)
            self._templates.change(name, language, status=status, rejected_reason=reason)
        value = {
            "event": event,
            **self._about(name, language),
            "message_template_category": self._templates.node(name, language)["category"],
            "reason": reason,
        }
        if event == "PAUSED":
            value["other_info"] = _FIRST_PAUSE
        self._webhook.put(Change("message_template_status_update", value))

    def category(self, name: str, language: str, category: str, *, impending: bool = False) -> None:
        """Put a template into another category, or announce it for tomorrow.

        Raises:
            KeyError: there is no such template.
        """
        current = self._templates.node(name, language)["category"]
        if impending:
            self._templates.change(name, language, correct_category=category)
            told = {
                "correct_category": category,
                "new_category": current,
                "category_update_timestamp": int(self._now()) + _DAY_S,
            }
        else:
            self._templates.change(
                name,
                language,
                category=category,
                previous_category=current,
                message_send_ttl_seconds=None,  # Meta forgets it too
            )
            told = {"previous_category": current, "new_category": category}
        value = {**self._about(name, language), **told}
        self._webhook.put(Change("template_category_update", value))

    def account(self, event: str = "ACCOUNT_RESTRICTION", **details: object) -> None:
        """Announce something about the account.

        A restriction without details forbids writing first, for three days.

        Args:
            event: Meta's word: ``ACCOUNT_VIOLATION``, ``DISABLED_UPDATE``, ...
            details: what comes with it: ``restriction_info``, ``ban_info``, ...
        """
        if event == "ACCOUNT_RESTRICTION" and not details:
            restriction = {
                "restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING",
                "expiration": int(self._now()) + 3 * _DAY_S,
            }
            details = {"restriction_info": [restriction]}
        self.tell("account_update", {"event": event, **details})

    def tell(self, field: str, value: Mapping[str, object]) -> None:
        """Announce anything, in any field."""
        self._webhook.put(Change(field, value))

    def _about(self, name: str, language: str) -> dict[str, object]:
        node = self._templates.node(name, language)
        return {
            "message_template_id": int(str(node["id"])),
            "message_template_name": name,
            "message_template_language": language.replace("_", "-"),  # as Meta writes it here
        }
