"""What is claimed of planners: `auto` against all others on a grid of scenarios, and its time."""
