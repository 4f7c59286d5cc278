"""One folder with everything that an install needs, for machines without a network."""
