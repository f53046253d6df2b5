"""How fast the suite is against the alternatives, on one machine in one run."""
