"""The models of a run: loading, log-probabilities, packing, roles, adapters, sharding."""
