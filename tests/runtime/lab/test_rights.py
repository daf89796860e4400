"""What a lab lacks is said in one line, with the mend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from swath.errors import ClusterError
from swath.runtime.lab import commands
from swath.runtime.lab.lab import Lab
from swath.runtime.lab.remains import remains
from swath.runtime.lab.rights import require_rights
from tests.runtime.lab.clusters import cluster
from tests.runtime.lab.conftest import needs_root


def test_a_lab_needs_root():
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        for attempt in (lambda: Lab(cluster("a b", {})), remains):
            with pytest.raises(ClusterError, match=r"needs root, .* 'sudo swath lab run ...'"):
                attempt()
    finally:
        os.seteuid(user)


@needs_root
def test_root_without_its_rights_is_told_so():
    program = (
        "from swath.runtime.lab.rights import require_rights\n"
        "from swath.errors import ClusterError\n"
        "try: require_rights()\n"
        "except ClusterError as error: print(error)\n"
    )
    command = ["setpriv", "--bounding-set=-net_admin", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a lab needs CAP_NET_ADMIN, which root lacks here; run it outside" in done.stdout


@needs_root
@pytest.mark.parametrize(
    ("missing", "package"), [("tc", "iproute2"), ("ip", "iproute2"), ("nsenter", "util-linux")]
)
def test_a_missing_program_is_named(missing, package, tmp_path, monkeypatch):
    for program in commands.PROGRAMS:
        path = shutil.which(program, path=commands.PATH)
        if program != missing and path is not None:
            (tmp_path / program).symlink_to(path)
    monkeypatch.setattr(commands, "PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=f"needs '{missing}', .*'apt install {package}'"):
        require_rights()


@needs_root
def test_a_command_that_fails_is_named_with_what_it_said():
    with pytest.raises(ClusterError, match=r"'ip link show dev none' failed: .*does not exist"):
        commands.batch("ip", ["link show dev lo", "link show dev none", "link show dev lo"])
