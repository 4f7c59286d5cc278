"""Making an environment: look at the user's package sources, lock, install beside, verify, swap in, keep a receipt."""
