"""Published numbers, and how stored ones compare with them."""
