"""Rendering: records to text for people. Pure; nothing here prints."""
