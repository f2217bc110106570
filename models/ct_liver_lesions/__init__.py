"""Liver and liver lesions in CT: two networks of KU Leuven."""
