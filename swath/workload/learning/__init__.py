"""Learning which prices to ask: the environment, what is seen of services, training, policies."""
