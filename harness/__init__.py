"""The acceptance workload: fine-tunes a small BERT inside the environment under test and reports what happened."""
