"""A running sandbox and a plain client of it."""

from collections.abc import Iterator

import pytest

from smartia_jobs.sandbox import Sandbox
from tests.sandbox.graph import BUTTONS, NAMED, NUMBERED, Graph
from tests.sandbox.receiver import APP_SECRET, VERIFY_TOKEN, Receiver, receiving


@pytest.fixture
def sandbox(no_threads_left: None) -> Iterator[Sandbox]:
    """A sandbox with three approved templates; the test fails when it leaves a thread."""
    with Sandbox(templates=[NAMED, NUMBERED, BUTTONS]) as running:
        yield running


@pytest.fixture
def graph(sandbox: Sandbox) -> Iterator[Graph]:
    """A client that keeps its connection, with a token and the right ids."""
    with Graph(sandbox.url) as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook that nobody posts to yet."""
    with receiving() as running:
        yield running


@pytest.fixture
def subscribed(sandbox: Sandbox, receiver: Receiver) -> Sandbox:
    """The sandbox, posting to the webhook."""
    sandbox.subscribe(receiver.url, app_secret=APP_SECRET, verify_token=VERIFY_TOKEN)
    return sandbox
