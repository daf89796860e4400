"""Allocators: which requests begin when, on which devices, and which are refused.

One class per rule, registered by name; see `swath.workload.serving.Allocator`.
"""

from swath.workload.allocators.registry import (
    AllocatorInfo,
    Setting,
    check_allocator,
    known_allocators,
    make_allocator,
)

__all__ = ["AllocatorInfo", "Setting", "check_allocator", "known_allocators", "make_allocator"]
