"""Single paths: counted, ranked, listed, the heaviest found, their tree."""
