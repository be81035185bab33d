"""Learning: runs, their folders, and what makes the next state of one."""
