"""Fixtures of the WhatsApp tests: a certificate."""

from tests.whatsapp.loopback import certificate

__all__ = ["certificate"]
