"""Qt: one dock, its panels, and a form made from a settings class."""
