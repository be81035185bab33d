"""The debugger's screen. A frozen state goes down to the widgets, messages come up, one table holds the keys."""
