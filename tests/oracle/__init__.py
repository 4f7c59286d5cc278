"""An independent judge of the resolver: shares no code with it."""
