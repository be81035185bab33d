"""Pictures: the layout and the style that every back end shares, and the back ends."""
