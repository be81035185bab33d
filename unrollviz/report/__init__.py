"""What the command line says: for each question lines of text, and one JSON object."""
