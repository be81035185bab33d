"""The stepper: a run as a list of events, and what is known at every point of it. Knows no screen."""
