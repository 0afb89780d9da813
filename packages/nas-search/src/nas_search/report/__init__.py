"""Pictures, tables and one page about what a study found."""
