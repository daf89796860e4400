"""Programs on virtual time: what a plan will take, before anything runs.

May import trace and what lies below it.
"""
