"""Tables as they come: read, put into one set of names and units, and checked."""
