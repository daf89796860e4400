"""Emulated devices on this machine: network namespaces, shaped links and CPU quotas, with real
workers in them.

`lab` is the ground, `cluster` what runs on it, `remains` what labs leave that were killed. May
import what the runtime may.
"""
