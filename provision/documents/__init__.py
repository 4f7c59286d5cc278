"""The JSON documents of the interface: records out, records in, their schemas."""
