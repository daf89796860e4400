"""What happened when, and who computes what: pictures.

May import plan and what lies below it.
"""
