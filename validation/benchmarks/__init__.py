"""How fast the node is, beside what it is compared with. Each module is a command."""
