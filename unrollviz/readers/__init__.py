"""Readers: everything that comes from a user's file enters here, and is checked before it is believed."""
