"""Messages between devices: Zenoh, and an in-process fabric for tests.

One small interface (`swath.fabric.fabric.Fabric`), so that a better data path can take its place.
May import engine and what lies below; in truth it imports nothing of Swath but errors.
"""
