"""Short lessons that ask before they reveal; they know no terminal."""
