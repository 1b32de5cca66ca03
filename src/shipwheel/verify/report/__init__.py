"""A report as text for people and as data for programs. Each module renders one format; none decides anything."""
