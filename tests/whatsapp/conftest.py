"""Fixtures of the WhatsApp tests: urllib3's logger as it was before, and a certificate."""

import logging
from collections.abc import Iterator

import pytest

from tests.whatsapp.loopback import certificate

__all__ = ["certificate"]


@pytest.fixture(autouse=True)
def _urllib3_logger() -> Iterator[None]:
    """A transport silences urllib3 for the rest of the process; a test, for its own end."""
    logger = logging.getLogger("urllib3")
    level = logger.level
    yield
    logger.setLevel(level)
