"""Zhou et al.'s offloading from one device: paths through a fused block, timed as a flow shop."""
