"""The coordinator's process, without a lab around it."""

from __future__ import annotations

import pytest

from swath.runtime.lab.remote import Remote


def test_nothing_is_said_where_nobody_waits_for_the_answer(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Remote([]) as remote:
        remote._connection.send(("pace", (0.02,)))  # For `call` would wait for the answer.
    assert remote.process.returncode == 0
    assert capfd.readouterr().err == ""
