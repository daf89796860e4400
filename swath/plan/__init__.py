"""The plan, its validation, and the compiler from plan to programs.

`swath.plan.program` is light: workers import it. May import graph, engine, fabric, cluster, cost
and what lies below them.
"""
