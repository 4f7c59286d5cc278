"""Acceptance: start the harness inside the target environment, and judge its report."""
