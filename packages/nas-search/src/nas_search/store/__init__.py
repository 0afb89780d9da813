"""The store: one study's trials, results and carried states in an SQL database."""

from nas_search.store.lease import Driver as Driver
from nas_search.store.sql import SqlStore as SqlStore
