"""The ground of a lab: devices that are network namespaces, joined by links of the rates asked for,
with quotas of CPU, on cores that are awake.

What runs on the devices is for others to say: this gives them a place, and proves that it is as
slow as it is meant to be.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Self

from swath.cluster import Cluster
from swath.cost import Quota
from swath.runtime.cores import keep_on
from swath.runtime.knowing import Step
from swath.runtime.lab import network
from swath.runtime.lab.awake import Awake
from swath.runtime.lab.commands import batch, find_program
from swath.runtime.lab.control_groups import find_control_groups
from swath.runtime.lab.namespaces import (
    CHANNEL,
    DEVICE_INTERFACE,
    address,
    inside,
    make_namespaces,
    namespace_path,
    port_interface,
)
from swath.runtime.lab.quota_check import Rationed, check_shares, find_tick
from swath.runtime.lab.quotas import quota_and_period, seats, shares
from swath.runtime.lab.rate_check import check_rate, rate_checks
from swath.runtime.lab.remains import claim_name, take_down
from swath.runtime.lab.rights import require_rights
from swath.runtime.lab.shaping import can_delay, shaping_lines, unshaping_line
from swath.runtime.lab.signals import raise_on_termination, uninterrupted


def check_fit(cluster: Cluster) -> None:
    """Raises ClusterError where this machine cannot be a lab, or cannot imitate this cluster."""
    require_rights()
    find_control_groups()
    shares(cluster)
    network.ports(cluster, delays=False)


class Lab:
    """Emulated devices, up and empty; neither shaped nor rationed yet.

    >>> with Lab(load_cluster("cluster.yaml")) as lab:                          # doctest: +SKIP
    ...     lab.shape()
    ...     lab.ration()
    ...     lab.check_quotas()
    ...     subprocess.run([*lab.command_prefix("pi-a"), "ip", "addr"])

    Everything is removed by `close`, at the end of the ``with`` block, when making it fails half
    way, and on Ctrl-C and SIGTERM (in the main thread); what a killed process left, by
    `swath.runtime.lab.remains.clean_up`. Raises ClusterError where `check_fit` does. Not for
    several threads at once.

    ``shares``: cores of each device, by name. ``packets``: how many the kernel hands on as one at
    the slowest link. ``can_delay``: whether this kernel can add latency to links; where it cannot,
    they have none but their own.
    """

    def __init__(self, cluster: Cluster) -> None:
        check_fit(cluster)
        self.cluster = cluster
        self.shares = shares(cluster)
        self._cores = os.sched_getaffinity(0)
        self._seats = seats(self.shares, self._cores)
        self._groups = find_control_groups()
        self._numbers = {device.name: n for n, device in enumerate(cluster.devices)}
        self._places: dict[int, Mapping[str, str]] = {}
        self._shaped = False
        self._closed = False
        self._awake: Awake | None = None
        self.name = claim_name()
        self._undo = raise_on_termination()
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        planned = network.ports(self.cluster, delays=False)
        units = [network.packets_per_unit(device, planned) for device in self._numbers]
        self.packets = min(units)
        make_namespaces(
            self.name,
            [self.namespace(device) for device in self._numbers],
            units,
            shared=self.cluster.network == "shared",
        )
        self.can_delay = can_delay(self.name)
        self._ports = network.ports(self.cluster, self.can_delay)
        for device in self._numbers:
            self._groups.make(self._group(device))
        self._awake = Awake(self._groups, f"{self.name}-awake")

    def close(self) -> None:
        """End what still runs in the lab and remove every trace of it. Safe to call twice."""
        if self._closed:
            return
        try:
            with uninterrupted():
                self._closed = True
                self.release(os.getpid())  # All others end with the lab.
                if self._awake is not None:
                    self._awake.end()
                take_down(self.name)
        finally:
            self._undo()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def namespace(self, device: str) -> str:
        """Name of a device's network namespace."""
        return f"{self.name}-{self.cluster.device(device).name}"

    def address(self, device: str) -> str:
        """IPv4 address of a device."""
        return address(self._numbers[self.cluster.device(device).name])

    def enter(self, device: str) -> AbstractContextManager[None]:
        """The calling thread on a device's network, and so the sockets that it makes and the
        threads and processes that it starts."""
        return inside(self.namespace(device))

    def command_prefix(self, device: str) -> list[str]:
        """What to put before a command so that it runs on a device's network."""
        return [find_program("nsenter"), f"--net={namespace_path(self.namespace(device))}"]

    def shape(self) -> None:
        """Put the rates of all links in force."""
        if self._shaped:
            return
        addresses = {device: self.address(device) for device in self._numbers}
        lines: dict[str, list[str]] = {}
        for port in self._ports:
            namespace, interface = self._where(port)
            lines.setdefault(namespace, []).extend(shaping_lines(port, interface, addresses))
        self._shaped = True
        for namespace, its in lines.items():
            batch("tc", its, namespace)

    def unshape(self) -> None:
        """Let all links be as fast as this machine; what is in their queues is lost."""
        if not self._shaped:
            return
        lines: dict[str, list[str]] = {}
        for port in self._ports:
            namespace, interface = self._where(port)
            lines.setdefault(namespace, []).append(unshaping_line(interface))
        for namespace, its in lines.items():
            batch("tc", its, namespace)
        self._shaped = False

    def _where(self, port: network.Port) -> tuple[str, str]:
        """Namespace and interface."""
        if port.place == "channel":
            return self.name, CHANNEL
        if port.place == "sends":
            return self.namespace(port.device), DEVICE_INTERFACE
        return self.name, port_interface(self._numbers[port.device])

    def ration(self) -> None:
        """Put the quotas of all devices in force."""
        for device, share in self.shares.items():
            self._groups.limit(self._group(device), *quota_and_period(share))

    def unration(self) -> None:
        """Let every device use what there is."""
        for device in self.shares:
            self._groups.unlimit(self._group(device))

    @cached_property
    def tick(self) -> float:
        """Seconds between two looks of the kernel at who has used up what. Measured when it is
        first asked for, in some seconds in which the devices should be idle. Raises ClusterError
        where the kernel does not look at regular times."""
        return find_tick(self._groups, f"{self.name}/.tick")

    def quota(self, device: str) -> Quota:
        """A device's ration when rations are in force. Measures the `tick`."""
        quota, period = quota_and_period(self.shares[self.cluster.device(device).name])
        return Quota(quota / period, period * 1e-6, self.tick)

    def assign(self, device: str, pid: int) -> None:
        """Let a process, with all its threads and what it starts from now on, use a device's CPU,
        on the device's cores.
        Raises ProcessLookupError where it has ended."""
        group = self._group(device)
        self._places.setdefault(pid, self._groups.places(pid))
        self._groups.move(pid, group)
        keep_on(pid, self._seats[device])

    def release(self, pid: int) -> None:
        """Put an assigned process back to where it was; nothing where it was not, or has ended."""
        places = self._places.pop(pid, None)
        if places is not None:
            with contextlib.suppress(ProcessLookupError):
                self._groups.put_back(pid, places)
                keep_on(pid, self._cores)

    def used_cpu(self, device: str) -> float:
        """Seconds of CPU that a device has used, ever."""
        return self._groups.used(self._group(device))

    def _group(self, device: str) -> str:
        return f"{self.name}/{self.cluster.device(device).name}"

    def check_quotas(self, step: Step = lambda text: None) -> dict[str, float]:
        """Prove that every device gets its share of CPU, no more and no less, while all want all:
        the shares measured, by device. Takes some 3 seconds; quotas must be in force. Measures the
        `tick`.

        Raises ClusterError that names a device whose share is off, and both numbers.
        """
        step("checking quotas")
        devices = {
            device: Rationed(self._group(device), share, self._seats[device])
            for device, share in self.shares.items()
        }
        return check_shares(self._groups, devices, self.tick)

    def check_rates(self, step: Step = lambda text: None) -> dict[str, float]:
        """Prove that every link is as fast as it is meant to be: goodput in bytes/s, by what was
        measured. Takes some 0.4 seconds for each; rates must be in force, and this process not
        rationed.

        Raises ClusterError that names a link whose rate is off, and both numbers.
        """
        found = {}
        for check in rate_checks(self.cluster, self._ports):
            step(f"checking {check.what}")
            found[check.what] = check_rate(check, self.enter, self.address)
        return found
