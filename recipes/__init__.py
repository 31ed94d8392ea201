"""How the assets shipped with the package are made; nothing in the package imports from here."""
