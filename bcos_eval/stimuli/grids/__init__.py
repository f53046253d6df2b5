"""Rules by which confident images are put together to grids."""
