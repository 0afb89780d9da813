"""The command line `nas`."""

from nas_search.cli.boundary import main as main
