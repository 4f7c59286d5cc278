"""One module per command; each holds COMMAND. They translate words to records and back, nothing more."""
