"""Self-contained HTML pages: a run with its paths, M[t,k] and a replay; a training run with a slider over updates."""
