"""Programs on real devices: coordinator and workers, the local cluster, input files, verification.

Workers import `serve` and what it needs, and little else. May import everything below: planners,
plan, fabric, engine and what lies under them.
"""
