"""Many services on one cluster: when their requests come, who is served when and where.

Workload files, arrivals, ways to carry requests out, serving on virtual time; allocators under
`allocators`, registered by name.
"""
