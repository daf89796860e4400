"""Many comparisons at once: models, clusters, planners."""
