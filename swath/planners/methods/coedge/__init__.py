"""CoEdge: row shares by linear programming."""
