"""Requirements, risks, units, SOUP and the gate that holds them together. Not built yet."""
