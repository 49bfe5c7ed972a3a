"""Files of every format that people have, as tables."""
