"""A pool that grows: what is new is labeled every night, the model renewed when it is due."""
