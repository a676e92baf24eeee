"""A patient with WhatsApp; the clinic's webhook is told of whatever they do there."""

import secrets
from collections.abc import Mapping

from smartia_jobs.sandbox.payloads import contact, display_digits, of_number
from smartia_jobs.sandbox.phones import digits_of, same_phone_key, wa_id_of, without_ninth_digit
from smartia_jobs.sandbox.received import Received
from smartia_jobs.sandbox.sending import new_wamid
from smartia_jobs.sandbox.state import State


class Person:
    """One person; each action is one signed post, and returns WhatsApp's id of it.

    Whatever a person writes or taps opens the 24 hours in which free text may be sent to them,
    also while no webhook is connected. A ``message`` is WhatsApp's id of one; None is the
    newest that was sent to this person.

    Args:
        phone: as anybody may write it, with the country code.
        state: the sandbox's.
        name: what the person calls themselves.
        ninth_digit: whether a Brazilian mobile's id has it; None: as is usual in its area.
        hidden: only the user id is told, as of people with a user name.

    Raises:
        ValueError: ``phone`` cannot be one.
    """

    def __init__(
        self,
        phone: str,
        state: State,
        *,
        name: str | None = None,
        ninth_digit: bool | None = None,
        hidden: bool = False,
    ) -> None:
        """Do nothing yet."""
        if digits_of(phone) is None:
            raise ValueError("a person needs a phone with its country code, such as +5511987654321")
        self._phone = same_phone_key(phone)
        self._wa_id = _wa_id(self._phone, ninth_digit=ninth_digit)
        self._name = name
        self._hidden = hidden
        self._number = state.account.phone
        self._people = state.people
        self._received = state.received
        self._webhook = state.webhook
        self._now = state.now

    def tap(
        self, button: int | str = 0, *, message: str | None = None, payload: str | None = None
    ) -> str:
        """Tap a quick reply: by its label, or by its place among the message's buttons.

        Args:
            button: which one.
            message: of which message; None: the newest to this person that has buttons.
            payload: instead of the one that was sent along; where none was, it is the label.

        Raises:
            ValueError: no such message, or it has no such button.
        """
        asked = self._received.newest(lambda sent: self._is_asked(sent, message))
        if asked is None:
            raise ValueError("there is no message with buttons to tap on")
        labels = asked["buttons"]
        index = next((i for i, label in labels.items() if button in (label, int(i))), None)
        if index is None:
            raise ValueError(f"that message's buttons are: {', '.join(labels.values())}")
        payload = payload or asked["payloads"].get(index) or labels[index]
        context_id = asked["wamid"] or ""
        return self.send("button", {"payload": payload, "text": labels[index]}, context_id)

    def write(self, text: str) -> str:
        """Write a text."""
        return self.send("text", {"body": text})

    def quote(self, text: str, *, message: str | None = None) -> str:
        """Write a text that quotes a message.

        Raises:
            ValueError: nothing was sent to this person yet.
        """
        return self.send("text", {"body": text}, message or self._newest_wamid())

    def react(self, emoji: str, *, message: str | None = None) -> str:
        """React to a message.

        Raises:
            ValueError: nothing was sent to this person yet.
        """
        reacted_to = message or self._newest_wamid()
        return self.send("reaction", {"message_id": reacted_to, "emoji": emoji})

    def take_reaction_back(self, *, message: str | None = None) -> str:
        """Take back the reaction to a message.

        Raises:
            ValueError: nothing was sent to this person yet.
        """
        return self.send("reaction", {"message_id": message or self._newest_wamid()})

    def speak(self) -> str:
        """Send a voice message."""
        voice = {"mime_type": "audio/ogg; codecs=opus", "voice": True}
        return self.send("audio", {"id": str(secrets.randbelow(10**15)), **voice})

    def send(self, type_: str, content: object, context_id: str | None = None) -> str:
        """Send anything of Meta's ``type``, which is also the key of its ``content``."""
        self._people.wrote(self._phone, name=self._name)
        parts: dict[str, object] = {type_: content}
        if context_id is not None:
            parts["context"] = {"from": display_digits(self._number), "id": context_id}
        return self._post_message(type_, parts, contacts=[self._contact()])

    def change_number(self, phone: str) -> str:
        """Take another number; the chat goes on with this same person.

        Raises:
            ValueError: ``phone`` cannot be one.
        """
        if digits_of(phone) is None:
            raise ValueError("the new number needs its country code, such as +5511987654321")
        old = self._people.known(self._phone)
        new_key = same_phone_key(phone)
        wa_id = wa_id_of(new_key)
        system = {
            "type": "user_changed_number",
            "body": f"{old.name} changed from {self._wa_id} to {wa_id}",
            "wa_id": wa_id,
            "user_id": self._people.known(phone).user_id,
            "previous_user_id": old.user_id,
        }
        told = self._post_message("system", {"system": system})
        self._phone, self._wa_id = new_key, wa_id
        return told

    def stop_marketing(self) -> None:
        """Stop marketing messages of this business, in WhatsApp's own screen."""
        self._prefer("stop")

    def resume_marketing(self) -> None:
        """Allow them again."""
        self._prefer("resume")

    def _is_asked(self, sent: Received, message: str | None) -> bool:
        if message is not None:
            return sent["wamid"] == message
        return self._is_mine(sent) and bool(sent["buttons"])

    def _is_mine(self, sent: Received) -> bool:
        return sent["accepted"] and same_phone_key(sent["to"] or "") == self._phone

    def _newest_wamid(self) -> str:
        newest = self._received.newest(self._is_mine)
        if newest is None:
            raise ValueError("nothing was sent to this person yet; name a message")
        return newest["wamid"] or ""

    def _contact(self) -> dict[str, object]:
        known = self._people.known(self._phone)
        wa_id = None if self._hidden else self._wa_id
        return contact(name=known.name, wa_id=wa_id, user_id=known.user_id)

    def _post_message(self, type_: str, parts: Mapping[str, object], **beside: object) -> str:
        message_id = new_wamid("" if self._hidden else self._wa_id)
        sender = {"from_user_id": self._people.known(self._phone).user_id}
        if not self._hidden:
            sender = {"from": self._wa_id, **sender}
        at = str(int(self._now()))
        message = {**sender, "id": message_id, "timestamp": at, "type": type_, **parts}
        self._webhook.put(of_number(self._number, "messages", **beside, messages=[message]))
        return message_id

    def _prefer(self, value: str) -> None:
        self._people.stop_marketing(self._phone, stopped=value == "stop")
        about = self._contact()
        preference = {
            "user_id": about["user_id"],
            **({} if self._hidden else {"wa_id": self._wa_id}),
            "category": "marketing_messages",
            "value": value,
            "detail": f"User requested to {value} marketing messages",
            "timestamp": int(self._now()),  # a number here, a text everywhere else
        }
        self._webhook.put(
            of_number(
                self._number, "user_preferences", contacts=[about], user_preferences=[preference]
            )
        )


def _wa_id(digits: str, *, ninth_digit: bool | None) -> str:
    if ninth_digit is None:
        return wa_id_of(digits)
    return digits if ninth_digit else without_ninth_digit(digits)
