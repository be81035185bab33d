"""What is wrong with a gradient: figures, rules, evidence."""
