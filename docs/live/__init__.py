"""What the pages take from the package when they are built, and the checks of what they show."""
