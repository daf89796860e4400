"""The plan, its validation, and the compiler from plan to programs.

`swath.plan.program` is light: workers import it. May import graph, engine, fabric, cluster, cost
and what lies below them.
"""

import sys

from swath.callable_package import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
