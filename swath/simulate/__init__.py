"""Programs on virtual time: what a plan will take, before anything runs.

May import trace and what lies below it.
"""

import sys

from swath.callable_package import CallablePackage
from swath.simulate.script import Script, make_script
from swath.simulate.simulate import Request, Simulation, redundant_flops_share, simulate

__all__ = [
    "Request",
    "Script",
    "Simulation",
    "make_script",
    "redundant_flops_share",
    "simulate",
]

sys.modules[__name__].__class__ = CallablePackage
