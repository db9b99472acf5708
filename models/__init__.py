"""The models of a run: loading, log-probabilities, roles, adapters, sharding."""
