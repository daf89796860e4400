"""What is Zenoh's own: joining, addresses, ports, threads."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from swath.errors import FabricError
from swath.fabric.zenoh import Endpoints, ZenohFabric, data_place
from swath.runtime.local import free_port
from tests.fabric.conftest import anywhere


def test_data_is_taken_on_the_port_after():
    assert data_place(Endpoints()) == (None, 0)
    assert data_place(Endpoints(("tcp/10.0.0.9:7447",))) == ("10.0.0.9", 7448)
    assert data_place(Endpoints(("tcp/0.0.0.0:0",))) == ("0.0.0.0", 0)


def test_who_only_connects_takes_data_on_the_address_that_the_others_see():
    assert data_place(Endpoints(connect=("tcp/127.0.0.1:7447",))) == (None, 0)
    own = socket.gethostbyname(socket.gethostname())
    if not own.startswith("127."):
        assert data_place(Endpoints(connect=(f"tcp/{own}:7447",))) == (own, 0)


@pytest.mark.parametrize("endpoint", ["10.0.0.9:7447", "tcp/10.0.0.9", "tcp/", "", "tcp/h:x"])
@pytest.mark.parametrize("side", ["listen", "connect"])
def test_an_address_that_is_none_is_named(side, endpoint):
    with pytest.raises(FabricError, match=r"not understood; write e\.g\. tcp/10\.0\.0\.9:7447"):
        ZenohFabric("a", "worker", anywhere, Endpoints(**{side: (endpoint,)}))


def test_a_transport_that_is_unknown_is_refused_in_one_line():
    with pytest.raises(FabricError, match="cannot join the cluster over pigeon/x") as refusal:
        ZenohFabric("a", "worker", anywhere, Endpoints(connect=("pigeon/x",)))
    assert "\n" not in str(refusal.value)
    assert ".rs" not in str(refusal.value)


@pytest.mark.parametrize("after", [0, 1], ids=["control", "data"])
def test_a_port_in_use_is_named_with_the_mend(after):
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port + after))
        other.listen()
        with pytest.raises(FabricError, match=f"{port + after}.*choose another.*--listen"):
            ZenohFabric("a", "worker", anywhere, Endpoints((f"tcp/127.0.0.1:{port}",)))


@pytest.mark.parametrize("cluster", ["", "a/b", "*"])
def test_a_cluster_name_that_cannot_be_used(cluster):
    with pytest.raises(FabricError, match="cluster name"):
        ZenohFabric("a", "worker", anywhere, Endpoints(), cluster)


def test_clusters_of_another_name_are_not_seen():
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    one = ZenohFabric("a", "worker", anywhere, Endpoints((endpoint,)), "one")
    two = ZenohFabric("a", "worker", anywhere, Endpoints((), (endpoint,)), "two")
    assert two.receive(0.2) is None
    assert [member.name for member in two.members()] == ["a"]
    one.close()
    two.close()


def test_foreign_tokens_and_questions_are_passed_over(eventually):
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    a = ZenohFabric("a", "worker", anywhere, Endpoints((endpoint,)), "one")
    b = ZenohFabric("b", "worker", anywhere, Endpoints((), (endpoint,)), "one")
    tokens = [b._session.liveliness().declare_token("swath/one/member/worker/new/x/y")]
    eventually(lambda: len(a.members()) == 2)
    question = b.ask("a", "what", bytes([255, 254]))
    while not hasattr(asked := a.receive(5.0), "verb"):
        assert asked is not None
    asked.refuse("nothing")
    with pytest.raises(Exception, match="worker 'a': nothing"):
        question.result()
    assert [member.name for member in a.members()] == ["a", "b"]
    del tokens
    b.close()
    a.close()


FEW_THREADS = """
import threading
import psutil
from swath.fabric.zenoh import Endpoints, ZenohFabric
fabric = ZenohFabric("a", "worker", lambda frame: None, Endpoints(("tcp/127.0.0.1:0",)))
print(psutil.Process().num_threads())
fabric.close()
"""


def test_zenoh_starts_few_threads():
    done = subprocess.run(
        [sys.executable, "-c", FEW_THREADS], capture_output=True, text=True, check=True
    )
    # The main one, Zenoh's, and OpenBLAS's where numpy is imported.
    assert int(done.stdout) <= 4
