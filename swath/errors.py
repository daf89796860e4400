"""Errors that a user can mend. Each message is one line that names the thing and the mend."""

from __future__ import annotations


class SwathError(Exception):
    """Anything that Swath refuses to do, said in one line."""


class ModelError(SwathError):
    """A model that cannot be read, prepared or run."""


class PlanError(SwathError):
    """A plan that cannot be compiled or does not fit the model, the devices or this version."""


class ClusterError(SwathError):
    """A cluster file or a cluster that cannot be used."""


class InputError(SwathError):
    """An input of the wrong name, shape or type, or a picture that is none."""


class FabricError(SwathError):
    """Devices that cannot be reached, do not answer in time, or speak another version."""


class WorkerError(SwathError):
    """A worker could not do what it was asked; the message names the worker and its reason."""


class WorkloadError(SwathError):
    """A workload file that cannot be used, or services that cannot be served."""
