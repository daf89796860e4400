"""Links are measured by real messages between real workers; what is made of the round trips is
checked against a law that is known."""

from __future__ import annotations

import threading

import pytest

from swath.errors import FabricError, WorkerError
from swath.runtime.local import LocalWorkers
from swath.runtime.profiling.asking import Asker, Exchanged
from swath.runtime.profiling.echo import SIZES, RoundTrips
from swath.runtime.profiling.links import FASTEST, SHORTEST, link_profiles, message_samples

CPU = 2e-5
CPU_PER_BYTE = 1e-10


def made_up(latency: float, up: float, down: float, sizes: tuple[int, ...] = SIZES) -> Exchanged:
    """What a link of this latency and these rates (bytes/s) would give."""

    def end(nbytes: int) -> float:
        return CPU + CPU_PER_BYTE * nbytes

    def trips(there: int, back: int) -> RoundTrips:
        asking = end(there) + end(back)
        seconds = 2 * asking + 2 * latency + there / up + back / down
        return RoundTrips(there, back, (seconds,) * 8, (asking,) * 8)

    series = [trips(0, 0)]
    series += [trips(size, 0) for size in sizes[1:]]
    series += [trips(0, size) for size in sizes[1:]]
    spent = {(side, size): [end(size)] for side in ("send", "receive") for size in sizes}
    return Exchanged(series, spent, spent)


def test_latency_and_both_rates_are_found():
    there, back = link_profiles("a", "b", made_up(1e-3, up=1e6, down=50e6))
    assert (there.sender, there.receiver) == ("a", "b")
    assert (back.sender, back.receiver) == ("b", "a")
    assert there.bandwidth == pytest.approx(1e6, rel=1e-3)
    assert back.bandwidth == pytest.approx(50e6, rel=1e-3)
    assert there.latency == back.latency == pytest.approx(1e-3, rel=1e-3)
    assert there.jitter == pytest.approx(0.0, abs=1e-12)


def test_a_link_so_slow_that_two_sizes_are_all():
    there, _ = link_profiles("a", "b", made_up(0.2, 1e4, 1e4, SIZES[:2]))
    assert there.bandwidth == pytest.approx(1e4, rel=1e-3)


def test_a_link_that_takes_no_time_of_its_own_has_bounds():
    there, _ = link_profiles("a", "b", made_up(0.0, 1e15, 1e15))
    assert there.bandwidth == pytest.approx(FASTEST, rel=1e-3)
    assert there.latency == SHORTEST


@pytest.fixture(scope="module")
def workers():
    with LocalWorkers(["a", "b"]) as workers:
        # Connections last as long as the cluster; they are not for a test to leave behind.
        Asker(workers.coordinator).exchange_here("b", rounds=1)
        yield workers


def test_two_workers_exchange_messages(workers):
    found = Asker(workers.coordinator).exchange("a", "b", rounds=2)
    assert found.trips[0].there == found.trips[0].back == 0
    assert {t.there for t in found.trips} == {t.back for t in found.trips}
    assert all(second > 0 for trips in found.trips for second in trips.seconds)
    for spent in (found.asking, found.answering):
        samples = message_samples(spent)
        assert {sample.side for sample in samples} == {"send", "receive"}
        assert {1 << 10, 1 << 20} <= {sample.nbytes for sample in samples}
        assert all(sample.seconds > 0 for sample in samples)
    for link in link_profiles("a", "b", found):
        assert 1e6 < link.bandwidth <= FASTEST
        assert 0 < link.latency < 1


def test_the_coordinator_exchanges_messages_and_goes_on(workers):
    found = Asker(workers.coordinator).exchange_here("b", rounds=2)
    assert len(found.trips) > 4
    assert found.is_near
    assert workers.coordinator.hello("b")["name"] == "b"


def test_what_is_asked_wrongly_is_refused(workers):
    asker = Asker(workers.coordinator)
    with pytest.raises(WorkerError, match="'dance' is not known"):
        asker._ask("a", "dance")
    with pytest.raises(WorkerError, match="'a'"):
        asker._ask("a", "echoed", version="never begun")


def test_a_member_that_goes_ends_the_exchange(eventually):
    with LocalWorkers(["a", "b"]) as workers:
        killer = threading.Timer(0.3, workers.processes["b"].kill)
        killer.start()
        with pytest.raises((FabricError, WorkerError)) as error:
            Asker(workers.coordinator).exchange("a", "b", rounds=2000)
        killer.join()
        assert "'b'" in str(error.value)
        eventually(lambda: workers.coordinator.workers() == ("a",))
        assert workers.coordinator.hello("a")["name"] == "a"
