"""The self-contained HTML page: the picture with its paths, the matrix M[t,k] and a replay of both passes."""
